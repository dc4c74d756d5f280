"""A second implementation, word for word from the definitions of RFC 6962 §2.1: the measure for the one under test.

It recurses over all entries and knows neither edges nor tiles. Nothing of `xieban.proof` may be imported here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def entries(count: int) -> tuple[bytes, ...]:
    return tuple(b"entry %d" % number for number in range(count))


class Tree:
    """MTH, PATH and PROOF over `data`; D[a:b] is the pair (a, b), so that hashes can be remembered."""

    def __init__(self, data: Sequence[bytes]) -> None:
        self._data = data
        self._known: dict[tuple[int, int], bytes] = {}

    def head(self, begin: int, end: int) -> bytes:
        """MTH(D[begin:end])"""
        if (begin, end) not in self._known:
            if begin == end:
                value = hashlib.sha256(b"").digest()
            elif end - begin == 1:
                value = hashlib.sha256(b"\x00" + self._data[begin]).digest()
            else:
                k = begin + power(end - begin)
                value = hashlib.sha256(b"\x01" + self.head(begin, k) + self.head(k, end)).digest()
            self._known[begin, end] = value
        return self._known[begin, end]

    def path(self, m: int, begin: int, end: int) -> list[bytes]:
        """PATH(m, D[begin:end])"""
        if end - begin == 1:
            return []
        k = power(end - begin)
        if m < k:
            return [*self.path(m, begin, begin + k), self.head(begin + k, end)]
        return [*self.path(m - k, begin + k, end), self.head(begin, begin + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[0:n]), for 0 < m <= n"""
        return self._subproof(m, 0, n, True)

    def _subproof(self, m: int, begin: int, end: int, whole: bool) -> list[bytes]:
        if m == end - begin:
            return [] if whole else [self.head(begin, end)]
        k = power(end - begin)
        if m <= k:
            return [*self._subproof(m, begin, begin + k, whole), self.head(begin + k, end)]
        return [*self._subproof(m - k, begin + k, end, False), self.head(begin, begin + k)]


def power(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
