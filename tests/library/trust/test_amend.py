"""Rotation and compromise: a signature is judged by the log index of what it signed, under the newest list, and by nothing else."""

from __future__ import annotations

import pytest

from tests.library.samples import CITY, HANDOFF, POLICE_KEY, header, receipt
from tests.library.trust.city import (
    COURT,
    LATER,
    LIFE,
    NEW_POLICE,
    NOW,
    POLICE,
    ROOTS,
    THIEF,
    draft,
    founded,
    issue,
    pins,
    private,
    seal,
    signed,
)
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError
from xieban.handoff import Node, Party
from xieban.marshal import sealed_to_bytes
from xieban.seal import Directory, SealKey
from xieban.statement import open_header, open_receipt, seal_header, seal_receipt
from xieban.subjects import Address
from xieban.trust import Log, Officer, Seal, add, parse, renew, revoke, rotate, sign


def verdict(directory: Directory, key: SealKey, *, index: int | None = None) -> Reason | None:
    """What becomes of a police header sealed with `key` that stands at `index` of the log."""
    data = sealed_to_bytes(seal_header(header(), key))
    try:
        open_header(data, address=HANDOFF, directory=directory, index=index)
    except XiebanError as error:
        return error.reason
    return None


def test_after_a_rotation_the_old_key_counts_for_what_was_logged_before_and_the_new_one_from_then_on() -> None:
    chain = signed(rotate(founded(), id=POLICE.keyid, to=NEW_POLICE.public, overlap=10, issue=issue(40)))
    directory = parse(chain.encode(), pins=pins(chain)).effective(now=LATER).directory()
    for index in (0, 39, 40, 49):
        assert verdict(directory, POLICE, index=index) is None
    for index in (50, 51, 10_000):
        assert verdict(directory, POLICE, index=index) is Reason.KEY_OUT_OF_SPAN
    assert verdict(directory, NEW_POLICE, index=39) is Reason.KEY_OUT_OF_SPAN
    assert verdict(directory, NEW_POLICE, index=40) is None


def test_statements_in_flight_at_a_rotation_are_taken_until_a_list_stands_behind_the_overlap() -> None:
    """The reader knows no index: what it takes now cannot be logged before the list it believes was."""
    rotated = signed(rotate(founded(), id=POLICE.keyid, to=NEW_POLICE.public, overlap=10, issue=issue(40)))
    during = rotated.effective(now=LATER).directory()
    assert verdict(during, POLICE) is None
    assert verdict(during, NEW_POLICE) is None
    closed = signed(add(rotated, seal(private(8).public, Agency.GATEWAY, from_index=50), issue=issue(50)))
    after = closed.effective(now=LATER).directory()
    assert verdict(after, POLICE) is Reason.KEY_OUT_OF_SPAN
    assert verdict(after, NEW_POLICE) is None
    assert verdict(after, POLICE, index=49) is None
    assert verdict(closed.effective(now=LATER).archive(), POLICE) is None


def test_without_an_overlap_the_change_is_sharp() -> None:
    chain = signed(rotate(founded(), id=POLICE.keyid, to=NEW_POLICE.public, overlap=0, issue=issue(40)))
    directory = chain.effective(now=LATER).directory()
    assert verdict(directory, POLICE, index=39) is None
    assert verdict(directory, POLICE) is Reason.KEY_OUT_OF_SPAN


def test_of_a_compromised_key_everything_from_the_index_of_the_theft_on_is_refused_and_nothing_before_it() -> None:
    chain = signed(revoke(founded(), id=POLICE.keyid, reason="compromised", from_index=25, issue=issue(40)))
    directory = parse(chain.encode(), pins=pins(chain)).effective(now=LATER).directory()
    assert verdict(directory, POLICE, index=24) is None
    for index in (25, 39, 40, None):
        assert verdict(directory, POLICE, index=index) is Reason.KEY_OUT_OF_SPAN
    assert [row.id for row in chain.last.value.of_use(Seal, at=24)] == sorted([POLICE.keyid, COURT.keyid])
    assert [row.id for row in chain.last.value.of_use(Seal, at=25)] == [COURT.keyid]


def test_a_revocation_beats_an_overlap_that_was_announced_before() -> None:
    rotated = signed(rotate(founded(), id=POLICE.keyid, to=NEW_POLICE.public, overlap=100, issue=issue(40)))
    chain = signed(revoke(rotated, id=POLICE.keyid, reason="lost", from_index=45, issue=issue(60)))
    directory = chain.effective(now=LATER).directory()
    assert verdict(directory, POLICE, index=44) is None
    assert verdict(directory, POLICE, index=45) is Reason.KEY_OUT_OF_SPAN


def test_the_clock_plays_no_part_in_judging_a_signature() -> None:
    chain = signed(rotate(founded(), id=POLICE.keyid, to=NEW_POLICE.public, overlap=10, issue=issue(40)))
    assert verdict(chain.effective(now=NOW).directory(), NEW_POLICE, index=40) is None
    assert verdict(chain.effective(now=LATER).directory(), NEW_POLICE, index=40) is None


def test_the_thief_of_a_stolen_key_cannot_put_one_of_his_own_in_its_place() -> None:
    moved = rotate(founded(), id=POLICE.keyid, to=THIEF.public, overlap=0, issue=issue(40))
    with pytest.raises(XiebanError) as raised:
        sign(moved, private(1))  # the police's own seal key: no root
    assert raised.value.reason is Reason.KEY_UNKNOWN


def test_the_key_of_one_office_speaks_for_that_office_alone_and_gives_no_receipts() -> None:
    lone = Seal(
        agency=Agency.POLICE, office="620102", algorithm="ed25519+sha256",
        public=NEW_POLICE.public.raw.hex(), from_index=0,
    )  # fmt: skip
    directory = signed(add(draft(), lone, issue=issue(0, at=NOW))).effective(now=NOW).directory()
    assert verdict(directory, NEW_POLICE) is None
    other = sealed_to_bytes(seal_header(header(sender=_party("620103")), NEW_POLICE))
    with pytest.raises(XiebanError) as raised:
        open_header(other, address=HANDOFF, directory=directory)
    assert raised.value.reason is Reason.FIELD_INVALID
    said = receipt(sender=_node("police"), receiver=_node("procuratorate"))
    address = Address(city=CITY, what="receipt", sender="police", receiver="procuratorate")
    open_receipt(sealed_to_bytes(seal_receipt(said, POLICE)), address=address, directory=directory)
    with pytest.raises(XiebanError):
        open_receipt(sealed_to_bytes(seal_receipt(said, NEW_POLICE)), address=address, directory=directory)


def test_an_officers_key_seals_nothing_for_the_node() -> None:
    officer = Officer(
        agency=Agency.POLICE, office="620102", role="handler", holder="j-0017", algorithm="ed25519+sha256",
        public=NEW_POLICE.public.raw.hex(), from_index=0,
    )  # fmt: skip
    value = signed(add(draft(), officer, issue=issue(0, at=NOW))).effective(now=NOW)
    assert verdict(value.directory(), NEW_POLICE) is Reason.KEY_UNKNOWN
    assert value.of_use(Officer, at=0) == (officer,)


def test_the_log_and_a_witness_have_one_key_at_a_time() -> None:
    log = Log(name="xieban.lanzhou/log", algorithm="ed25519+sha256", public=NEW_POLICE.public.raw.hex(), from_index=0)
    chain = signed(add(draft(), log, issue=issue(0, at=NOW)))
    with pytest.raises(XiebanError) as raised:
        rotate(chain, id=log.id, to=private(8).public, overlap=1, issue=issue(40))
    assert raised.value.reason is Reason.FIELD_INVALID
    value = rotate(chain, id=log.id, to=private(8).public, overlap=0, issue=issue(40)).last.value
    assert [len(value.of_use(Log, at=index)) for index in (0, 39, 40)] == [1, 1, 1]


def test_a_list_that_is_about_to_expire_is_renewed_with_nothing_else_changed() -> None:
    chain = signed(renew(founded(), issue=issue(40)))
    value = chain.effective(now=NOW + LIFE)
    assert value.entries == founded().last.value.entries
    assert value.version == 2


# --- drafts


def test_an_unsigned_draft_is_amended_in_place_and_keeps_its_version_and_index() -> None:
    one = add(founded(), seal(NEW_POLICE.public, from_index=40), issue=issue(40))
    two = revoke(one, id=COURT.keyid, reason="lost", from_index=None, issue=issue(99))
    assert (len(two.versions), two.last.value.version, two.last.value.index) == (2, 2, 40)
    assert two.last.value.find(COURT.keyid).end == 40


def test_a_draft_that_somebody_has_signed_is_not_amended_unless_it_is_drawn_up_afresh() -> None:
    begun = sign(add(founded(), seal(NEW_POLICE.public, from_index=40), issue=issue(40)), ROOTS[0])
    with pytest.raises(XiebanError) as raised:
        revoke(begun, id=COURT.keyid, reason="lost", from_index=None, issue=issue(40))
    assert raised.value.reason is Reason.TRUST_UNSIGNED
    again = revoke(begun, id=COURT.keyid, reason="lost", from_index=None, issue=issue(40, afresh=True))
    assert again.last.signers == frozenset()


def test_a_key_is_not_listed_twice_and_an_unknown_one_is_not_ended() -> None:
    with pytest.raises(XiebanError) as raised:
        add(founded(), seal(POLICE_KEY.public, Agency.COURT, from_index=40), issue=issue(40))
    assert raised.value.reason is Reason.TRUST_BROKEN
    with pytest.raises(XiebanError) as raised:
        revoke(founded(), id="0" * 16, reason="lost", from_index=None, issue=issue(40))
    assert raised.value.reason is Reason.KEY_UNKNOWN


def _party(office: str) -> Party:
    return Party(city=CITY, agency="police", office=office)


def _node(agency: str) -> Node:
    return Node(city=CITY, agency=agency)
