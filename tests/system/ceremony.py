"""The roots of an embedded city at work: the next version of its list, signed and put in place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.provision import Home
from tests.library.trust.city import signed
from xieban.keys import PrivateKey
from xieban.keys.files import load_private
from xieban.trust import Chain, Issue, parse
from xieban.trust.chain import micros


def roots(home: Home) -> list[PrivateKey]:
    return [load_private(home.folder / "roots" / f"root-{number}.key") for number in range(1, 6)]


def amended(index: int) -> Issue:
    """A version in force from `index`, current for the next ten years on any machine that runs this."""
    now = datetime.now(UTC)  # noqa: TID251 (lists expire by the machine's clock)
    return Issue(index=index, at=micros(now), expires_at=micros(now + timedelta(days=3650)))


def listed(home: Home) -> Chain:
    return parse((home.folder / "trust.json").read_bytes(), pins=None)


def put(home: Home, draft: Chain) -> Chain:
    """Have three roots sign `draft` and put it where the nodes will find it at their next start."""
    chain = signed(draft, *roots(home)[:3])
    (home.folder / "trust.json").write_bytes(chain.encode())
    return chain
