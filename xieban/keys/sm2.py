"""`sm2+sm3`: SM2 signatures (GB/T 32918.2) with SM3, through `gmssl_pyx`; only with the extra `sm` installed.

Ready for the national algorithms (国密-ready) and no more than that: statements are still named by SHA-256 and TLS stays ECDSA P-256.
The signer's identifier enters every SM2 signature; it is given explicitly, because libraries differ in what they take for none.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final, Literal, cast

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from xieban.errors import Reason, XiebanError, failure

NAME: Final = "sm2+sm3"
SIGNER: Final = b"1234567812345678"
"""The default identifier of GM/T 0009, the only one used here."""

# The curve of GB/T 32918.5: y² = x³ + ax + b modulo P, of prime order N.
_P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A: Final = _P - 3
_B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123


class _Public:
    """64 bytes: x and y, big-endian."""

    __slots__ = ("raw",)
    name: Final[Literal["sm2+sm3"]] = NAME

    def __init__(self, raw: bytes) -> None:
        x, y = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        if len(raw) != 64 or x >= _P or y >= _P or (y * y - x * x * x - _A * x - _B) % _P:
            raise _malformed()
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Public) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def holds(self, signature: bytes, message: bytes) -> bool:
        # The library reports on stderr what it refuses, so what is no signature at all never reaches it.
        return _is_signature(signature) and bool(_library().sm2_verify(self.raw, message, signature, SIGNER))


class _Private:
    __slots__ = ("public", "raw")

    def __init__(self, raw: bytes, public: _Public) -> None:
        self.raw = raw
        self.public = public

    def sign(self, message: bytes) -> bytes:
        return cast(bytes, _library().sm2_sign(self.raw, self.public.raw, message, SIGNER))


class Sm2:
    """See `Algorithm`."""

    name: Final[Literal["sm2+sm3"]] = NAME
    curve: Final = "1.2.156.10197.1.301"

    def generate(self) -> _Private:
        public, private = _library().sm2_key_generate()
        return _Private(private, _Public(public))

    def public(self, raw: bytes) -> _Public:
        return _Public(raw)

    def private(self, raw: bytes, public: bytes = b"") -> _Private:
        """The library derives no public key, so a key file has to hold it; the pair is proven by a signature."""
        if len(raw) != 32 or not 0 < int.from_bytes(raw, "big") < _N - 1:
            raise _malformed()
        key = _Private(raw, _Public(public))
        if not key.public.holds(key.sign(b"pair"), b"pair"):
            raise _malformed()
        return key


def _is_signature(value: bytes) -> bool:
    """Whether these bytes are the DER spelling of two numbers in range; any other spelling is another signature's."""
    try:
        r, s = decode_dss_signature(value)
    except ValueError:
        return False
    return 0 < r < _N and 0 < s < _N


def _library() -> Any:
    """Imported when first used, because the default installation does without it."""
    try:
        import gmssl_pyx
    except ImportError as error:
        raise failure(Reason.ALGORITHM_MISSING, algorithm=NAME) from error
    return cast(ModuleType, gmssl_pyx)


def _malformed() -> XiebanError:
    return failure(Reason.KEY_MALFORMED, algorithm=NAME)
