"""A list counts under enough signatures of the right roots, follows the one before it, and has one spelling."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.library.trust.city import (
    COURT,
    LATER,
    LIFE,
    NEW_POLICE,
    NOW,
    POLICE,
    ROOTS,
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
from xieban.keys import fingerprint, keyid
from xieban.seal import Sealed, Signature
from xieban.trust import Chain, Pins, TrustList, add, parse, revoke, rotate, rotate_root, sign
from xieban.trust.chain import TYPE, spell
from xieban.trust.lists import Revocation, encode


def refused(act: Callable[[], object]) -> XiebanError:
    with pytest.raises(XiebanError) as raised:
        act()
    return raised.value


def forged(chain: Chain, **changes: Any) -> bytes:
    """The chain with its last list changed and signed by enough roots, as roots who were deceived would have signed it."""
    return rewritten(chain, msgspec.structs.replace(chain.last.value, **changes))


def rewritten(chain: Chain, value: TrustList, signers: tuple[int, ...] = (0, 1, 2)) -> bytes:
    bare = Sealed(type=TYPE, payload=encode(value), signatures=())
    signatures = [Signature(keyid(ROOTS[n].public), ROOTS[n].sign(bare.signed)) for n in signers]
    signatures.sort(key=lambda signature: signature.keyid)
    sealed = Sealed(type=TYPE, payload=bare.payload, signatures=tuple(signatures))
    return spell([*(version.sealed for version in chain.versions[:-1]), sealed])


def test_a_list_signed_by_three_of_five_pinned_roots_is_effective() -> None:
    chain = founded()
    again = parse(chain.encode(), pins=pins(chain))
    assert again.effective(now=NOW) == chain.last.value
    assert again.encode() == chain.encode()
    assert again.last.quorums[0].count == 3


@pytest.mark.parametrize("count", [0, 1, 2])
def test_with_fewer_signatures_it_is_a_draft_that_can_be_read_but_not_relied_on(count: int) -> None:
    chain = draft()
    for root in ROOTS[:count]:
        chain = sign(chain, root)
    again = parse(chain.encode(), pins=pins(chain))
    assert again.draft is not None
    assert again.settled is None
    error = refused(lambda: again.effective(now=NOW))
    assert error.reason is Reason.TRUST_UNSIGNED
    assert f"有 {count} 份" in error.explain()


def test_signing_twice_with_one_root_counts_once() -> None:
    chain = sign(sign(draft(), ROOTS[0]), ROOTS[0])
    assert chain.last.quorums[0].count == 1


def test_a_key_that_is_no_root_cannot_sign_and_its_signature_is_refused() -> None:
    assert refused(lambda: sign(draft(), private(7))).reason is Reason.KEY_UNKNOWN
    sealed = draft().last.sealed
    stranger = Sealed(TYPE, sealed.payload, (Signature("0" * 16, private(7).sign(sealed.signed)),))  # type: ignore[arg-type]
    assert refused(lambda: parse(spell([stranger]), pins=None)).reason is Reason.TRUST_BROKEN


def test_a_list_is_expired_from_its_last_moment_on() -> None:
    chain = founded()
    chain.effective(now=NOW + LIFE - timedelta(microseconds=1))
    assert refused(lambda: chain.effective(now=NOW + LIFE)).reason is Reason.TRUST_EXPIRED


@pytest.mark.parametrize("which", ["other roots", "one more", "one fewer", "lower threshold"])
def test_a_first_list_is_held_to_exactly_the_pinned_roots_and_threshold(which: str) -> None:
    chain = founded()
    sound = pins(chain)
    stranger = fingerprint(private(7).public)
    others = {
        "other roots": Pins(frozenset({*list(sound.roots)[:4], stranger}), 3),
        "one more": Pins(sound.roots | {stranger}, 3),
        "one fewer": Pins(frozenset(list(sound.roots)[:4]), 3),
        "lower threshold": Pins(sound.roots, 2),
    }
    assert refused(lambda: parse(chain.encode(), pins=others[which])).reason is Reason.TRUST_BROKEN


def test_whoever_holds_one_root_cannot_found_a_city_that_asks_for_one_signature() -> None:
    lone = signed(draft(threshold=1), ROOTS[0])
    assert lone.effective(now=NOW).threshold == 1
    assert refused(lambda: parse(lone.encode(), pins=pins(founded()))).reason is Reason.TRUST_BROKEN


def test_every_changed_byte_of_a_signed_list_is_refused() -> None:
    chain = founded()
    data = chain.encode()
    for position in range(len(data)):
        for change in (1, 0x20, 0x80):
            mutated = bytearray(data)
            mutated[position] ^= change
            with pytest.raises(XiebanError):
                parse(bytes(mutated), pins=pins(chain)).effective(now=NOW)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_file_cut_short_or_with_something_behind_it_is_refused(cut: int) -> None:
    data = founded().encode()
    assert refused(lambda: parse(data[:cut], pins=None)).reason is Reason.PROOF_MALFORMED
    assert refused(lambda: parse(data + b"\n", pins=None)).reason is Reason.PROOF_MALFORMED


def test_another_spelling_of_the_same_list_is_refused_even_under_true_signatures() -> None:
    value = json.loads(draft().last.sealed.payload)
    spaced = json.dumps(value, sort_keys=True).encode()
    bare = Sealed(TYPE, spaced, ())
    rows = sorted((Signature(keyid(root.public), root.sign(bare.signed)) for root in ROOTS[:3]), key=lambda s: s.keyid)
    assert (
        refused(lambda: parse(spell([Sealed(TYPE, spaced, tuple(rows))]), pins=None)).reason is Reason.PROOF_MALFORMED
    )


def test_signatures_out_of_order_or_twice_are_another_spelling_and_refused() -> None:
    sealed = founded().last.sealed
    for rows in (sealed.signatures[::-1], (*sealed.signatures, sealed.signatures[-1])):
        error = refused(lambda rows=rows: parse(spell([Sealed(TYPE, sealed.payload, rows)]), pins=None))  # type: ignore[misc]
        assert error.reason is Reason.TRUST_BROKEN


# --- the second version


def second() -> Chain:
    return signed(add(founded(), seal(NEW_POLICE.public, from_index=40), issue=issue(40)))


def test_a_second_version_follows_the_first_and_both_are_verified() -> None:
    chain = second()
    again = parse(chain.encode(), pins=pins(chain))
    assert again.effective(now=LATER).version == 2
    assert again.last.value.previous == again.versions[0].sealed.eid


@pytest.mark.parametrize(
    "changes",
    [{"version": 3}, {"version": 1}, {"previous": "0" * 64}, {"previous": ""}, {"city": "jiuquan"}, {"issued_at": 1}],
    ids=str,
)
def test_a_version_that_does_not_follow_the_one_before_is_refused_whoever_signed_it(changes: dict[str, Any]) -> None:
    chain = second()
    assert refused(lambda: parse(forged(chain, **changes), pins=pins(chain))).reason is Reason.TRUST_BROKEN


def test_a_version_is_in_force_no_earlier_than_the_one_before_it() -> None:
    with pytest.raises(XiebanError) as raised:
        revoke(second(), id=COURT.keyid, reason="lost", from_index=10, issue=issue(39))
    assert raised.value.reason is Reason.TRUST_BROKEN


def test_a_file_that_does_not_begin_with_the_first_version_is_refused() -> None:
    chain = second()
    assert refused(lambda: parse(spell([chain.last.sealed]), pins=None)).reason is Reason.TRUST_BROKEN


def test_nothing_follows_a_version_that_is_a_draft() -> None:
    chain = second()
    first = Sealed(TYPE, chain.versions[0].sealed.payload, chain.versions[0].sealed.signatures[:2])
    assert refused(lambda: parse(spell([first, chain.last.sealed]), pins=None)).reason is Reason.TRUST_BROKEN


def test_a_key_never_vanishes_from_the_list() -> None:
    chain = second()
    entries = [entry for entry in chain.last.value.entries if entry.id != POLICE.keyid]
    assert refused(lambda: parse(forged(chain, entries=entries), pins=pins(chain))).reason is Reason.TRUST_BROKEN


@pytest.mark.parametrize("changes", [{"agency": Agency.COURT}, {"office": "620102"}, {"from_index": 3}], ids=str)
def test_a_listed_key_never_changes_hands_or_its_beginning(changes: dict[str, Any]) -> None:
    chain = second()
    entries = [
        msgspec.structs.replace(entry, **changes) if entry.id == POLICE.keyid else entry
        for entry in chain.last.value.entries
    ]
    assert refused(lambda: parse(forged(chain, entries=entries), pins=pins(chain))).reason is Reason.TRUST_BROKEN


def test_a_new_key_counts_for_nothing_that_was_logged_before_it() -> None:
    chain = second()
    entries = [
        msgspec.structs.replace(entry, from_index=39) if entry.id == NEW_POLICE.keyid else entry
        for entry in chain.last.value.entries
    ]
    assert refused(lambda: parse(forged(chain, entries=entries), pins=pins(chain))).reason is Reason.TRUST_BROKEN


def third(**changes: Any) -> bytes:
    """After a rotation at 40 that ended the old key at 50: a third version at 60 that changes that old key's entry."""
    rotated = signed(rotate(founded(), id=POLICE.keyid, to=NEW_POLICE.public, overlap=10, issue=issue(40)))
    chain = signed(add(rotated, seal(private(8).public, Agency.GATEWAY, from_index=60), issue=issue(60)))
    entries = [
        msgspec.structs.replace(entry, **changes) if entry.id == POLICE.keyid else entry
        for entry in chain.last.value.entries
    ]
    return forged(chain, entries=entries)


def test_an_end_that_has_passed_cannot_be_moved_or_taken_back() -> None:
    parse(third(), pins=pins(founded()))
    for until in (None, 45, 70):
        assert refused(lambda until=until: parse(third(until_index=until), pins=None)).reason is Reason.TRUST_BROKEN  # type: ignore[misc]


def test_an_end_is_not_announced_for_what_has_been_logged_but_a_revocation_may_reach_back() -> None:
    chain = second()
    rows = chain.last.value.entries
    for changes, sound in (
        ({"until_index": 39}, False),
        ({"until_index": 40}, True),
        ({"revoked": Revocation(index=7, reason="compromised")}, True),
        ({"revoked": Revocation(index=41, reason="compromised")}, False),
    ):
        entries = [msgspec.structs.replace(row, **changes) if row.id == POLICE.keyid else row for row in rows]
        data = forged(chain, entries=entries)
        if sound:
            parse(data, pins=pins(chain))
        else:
            assert refused(lambda data=data: parse(data, pins=None)).reason is Reason.TRUST_BROKEN  # type: ignore[misc]


def test_a_revocation_is_never_taken_back_or_put_off_but_may_reach_further_back() -> None:
    revoked = signed(revoke(founded(), id=POLICE.keyid, reason="lost", from_index=20, issue=issue(40)))
    chain = signed(add(revoked, seal(NEW_POLICE.public, from_index=60), issue=issue(60)))
    for revocation, sound in ((None, False), (Revocation(21, "lost"), False), (Revocation(12, "compromised"), True)):
        entries = [
            msgspec.structs.replace(row, revoked=revocation) if row.id == POLICE.keyid else row
            for row in chain.last.value.entries
        ]
        data = forged(chain, entries=entries)
        if sound:
            parse(data, pins=pins(chain))
        else:
            assert refused(lambda data=data: parse(data, pins=None)).reason is Reason.TRUST_BROKEN  # type: ignore[misc]


# --- roots


def test_new_roots_need_enough_signatures_of_the_old_ones_and_of_the_new_ones() -> None:
    fresh = private(120)
    moved = rotate_root(founded(), id=founded().last.value.roots[0].id, to=fresh.public, issue=issue(40))
    old = {root.id for root in founded().last.value.roots}
    new = {root.id for root in moved.last.value.roots}
    keys = {keyid(root.public): root for root in (*ROOTS, fresh)}
    gone = keys[(old - new).pop()]
    both = [keys[id] for id in sorted(old & new)]
    # Three of the old roots, only two of whom stay: not enough of the new.
    lacking = signed(moved, gone, *both[:2])
    assert [quorum.count for quorum in lacking.last.quorums] == [2, 3]
    assert refused(lambda: lacking.effective(now=LATER)).reason is Reason.TRUST_UNSIGNED
    # Two who stay and the new one: not enough of the old.
    lacking = signed(moved, fresh, *both[:2])
    assert [quorum.count for quorum in lacking.last.quorums] == [3, 2]
    assert refused(lambda: lacking.effective(now=LATER)).reason is Reason.TRUST_UNSIGNED
    done = signed(moved, gone, fresh, *both[:2])
    assert parse(done.encode(), pins=pins(done)).effective(now=LATER).version == 2


def test_a_root_that_was_replaced_signs_nothing_any_more() -> None:
    first = founded()
    gone = first.last.value.roots[0].id
    keys = {keyid(root.public): root for root in ROOTS}
    moved = signed(rotate_root(first, id=gone, to=private(120).public, issue=issue(40)), *ROOTS)
    after = add(moved, seal(NEW_POLICE.public, from_index=60), issue=issue(60))
    assert refused(lambda: sign(after, keys[gone])).reason is Reason.KEY_UNKNOWN


def test_a_lower_threshold_is_a_change_of_roots_and_needs_the_old_threshold() -> None:
    chain = second()
    value = msgspec.structs.replace(chain.last.value, threshold=1)
    data = rewritten(chain, value, signers=(0,))
    assert refused(lambda: parse(data, pins=None).effective(now=LATER)).reason is Reason.TRUST_UNSIGNED


# --- what a list must be on its own


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 6}, {"city": "atlantis"}, {"expires_at": 0}, {"version": 2}, {"previous": "0" * 64},
        {"entries": [seal(POLICE.public), seal(POLICE.public, Agency.COURT)]},
        {"entries": [seal(ROOTS[0].public)]},
        {"entries": [seal(POLICE.public, office="620902")]},
        {"entries": [seal(POLICE.public, office="999999")]},
        {"entries": [msgspec.structs.replace(seal(POLICE.public, from_index=5), until_index=4)]},
        {"entries": [msgspec.structs.replace(seal(POLICE.public), public="00" * 33)]},
        {"entries": sorted((seal(POLICE.public), seal(COURT.public)), key=lambda row: row.id, reverse=True)},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_list_that_is_unsound_in_itself_is_refused_whoever_signed_it(changes: dict[str, Any]) -> None:
    chain = founded()
    error = refused(lambda: parse(forged(chain, **changes), pins=None))
    assert error.reason is Reason.TRUST_BROKEN


def test_payloads_with_unknown_fields_or_another_use_are_refused() -> None:
    payload = founded().last.sealed.payload
    for old, new in (
        (b'"v":1', b'"v":1,"w":1'), (b'"v":1', b'"v":2'), (b'"use":"seal"', b'"use":"king"'),
        (b'"algorithm":"ed25519+sha256"', b'"algorithm":"rsa"'), (b'"index":0', b'"index":0.0'), (b'"index":0', b'"index":-1'),
    ):  # fmt: skip
        assert old in payload
        data = spell([Sealed(TYPE, payload.replace(old, new, 1), ())])
        assert refused(lambda data=data: parse(data, pins=None)).reason is Reason.PROOF_MALFORMED  # type: ignore[misc]


def test_the_file_is_plain_json_with_the_payload_in_base64() -> None:
    file = json.loads(founded().encode())
    value = json.loads(base64.b64decode(file["lists"][0]["payload"]))
    assert value["city"] == "lanzhou"
    assert {row["use"] for row in value["entries"]} == {"seal"}
    assert file["lists"][0]["type"] == "trustlist"
