"""Certificates that a list bars: named once, in one order, for ever, and never in the place of an authority."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.library.trust.city import LATER, POLICE, founded, issue, pins, signed
from tests.library.trust.test_chain import forged
from xieban.errors import Reason, XiebanError
from xieban.trust import Authority, Barred, Chain, add, bar, parse, revoke
from xieban.trust.lists import decode

STOLEN, LOST = Barred("5c" * 32, "compromised"), Barred("1f" * 32, "lost")


def barred(*rows: Barred, before: Chain | None = None, index: int = 40) -> Chain:
    chain = before or founded()
    for row in rows:
        chain = bar(chain, fingerprint=row.fingerprint, reason=row.reason, issue=issue(index))
    return signed(chain)


def refused(act: Callable[[], object]) -> XiebanError:
    with pytest.raises(XiebanError) as raised:
        act()
    return raised.value


def test_a_barred_certificate_stands_in_the_next_version_and_in_every_one_after_it() -> None:
    chain = barred(LOST, before=barred(STOLEN), index=60)
    again = parse(chain.encode(), pins=pins(chain))
    assert [version.value.barred for version in again.versions] == [[], [STOLEN], [LOST, STOLEN]]
    later = signed(revoke(again, id=POLICE.keyid, reason="left", from_index=None, issue=issue(80)))
    assert parse(later.encode(), pins=pins(chain)).effective(now=LATER).barred == [LOST, STOLEN]


def test_a_list_that_bars_nothing_is_spelled_as_before_there_was_such_a_member() -> None:
    last = founded().last.sealed
    assert last.eid == "036027e0c1b5b313cc25a3f52d708f94855b0c1fd1c384e095c8cb4a060722c1"  # as its roots signed it then
    spelled = last.payload.replace(b'"city"', b'"barred":[],"city"')
    assert spelled != last.payload
    assert refused(lambda: decode(spelled)).reason is Reason.PROOF_MALFORMED


@pytest.mark.parametrize(
    "rows",
    [[], [LOST], [LOST, Barred(STOLEN.fingerprint, "mistake")]],
    ids=["all", "one of two", "its reason"],
)
def test_what_was_barred_cannot_be_taken_back_by_whoever_signs(rows: list[Barred]) -> None:
    settled = barred(STOLEN, LOST)
    chain = signed(revoke(settled, id=POLICE.keyid, reason="left", from_index=None, issue=issue(80)))
    parse(forged(chain, barred=[LOST, STOLEN]), pins=pins(chain))
    error = refused(lambda: parse(forged(chain, barred=rows), pins=pins(chain)))
    assert error.reason is Reason.TRUST_BROKEN
    assert STOLEN.fingerprint[:16] in error.explain() or LOST.fingerprint[:16] in error.explain()


@pytest.mark.parametrize("rows", [[STOLEN, LOST], [STOLEN, STOLEN], [STOLEN, Barred(STOLEN.fingerprint, "lost")]])
def test_certificates_out_of_order_or_twice_are_refused(rows: list[Barred]) -> None:
    assert refused(lambda: parse(forged(founded(), barred=rows), pins=None)).reason is Reason.TRUST_BROKEN


def test_the_same_certificate_is_not_barred_twice() -> None:
    error = refused(lambda: barred(STOLEN, before=barred(STOLEN), index=60))
    assert error.reason is Reason.TRUST_BROKEN


def test_an_authority_is_revoked_and_not_barred_and_what_is_barred_becomes_none() -> None:
    authority = Authority(fingerprint=STOLEN.fingerprint, from_index=40)
    listed = signed(add(founded(), authority, issue=issue(40)))
    assert refused(lambda: barred(STOLEN, before=listed, index=60)).reason is Reason.TRUST_BROKEN
    later = msgspec.structs.replace(authority, from_index=60)
    assert refused(lambda: add(barred(STOLEN), later, issue=issue(60))).reason is Reason.TRUST_BROKEN


@pytest.mark.parametrize("row", [{"fingerprint": "5C" * 32}, {"fingerprint": "5c" * 31}, {"reason": "angry"}], ids=str)
def test_a_fingerprint_has_one_spelling_and_the_reason_is_one_of_a_key(row: dict[str, Any]) -> None:
    odd = [msgspec.structs.replace(STOLEN, **row)]
    assert refused(lambda: parse(forged(founded(), barred=odd), pins=None)).reason is Reason.PROOF_MALFORMED
