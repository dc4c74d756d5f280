"""The verifier stands on no schema of the library's; here the two are held together, field by field and verdict by verdict."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.log import Entry
from tests.library import samples
from tests.library.bundles import town
from tests.library.bundles.tampering import MISBARRED, flipped
from xieban import approval, bundle, canonical, dossier, handoff, notice, procedure, supervision, trust
from xieban.agency import Agency
from xieban.errors import XiebanError
from xieban.trust import lists
from xieban.verify import approvals, closed, logchecks, schemas, showing, statements, trustlist
from xieban.verify.closed import NotCanonical, Schema

STRUCTS: list[tuple[type, Schema]] = [
    (handoff.Header, schemas.HEADER),
    (handoff.Receipt, schemas.RECEIPT),
    (notice.Notice, schemas.NOTICE),
    (notice.Reply, schemas.REPLY),
    (bundle.Manifest, schemas.MANIFEST),
    (dossier.Manifest, schemas.DOSSIER),
    (lists.TrustList, schemas.TRUST_LIST),
    (Entry, schemas.ENTRY),
]


def made() -> list[tuple[type, Any]]:
    """One value of each kind, as the library writes it."""
    place = town.Town()
    town.live(place)
    kinds: dict[str, type[Any]] = {
        "header": handoff.Header, "receipt": handoff.Receipt, "notice": notice.Notice, "reply": notice.Reply,
    }  # fmt: skip
    values: list[tuple[type, Any]] = [
        (kinds[one.type], canonical.decode(one.payload, kinds[one.type])) for one in place.statements.values()
    ]
    due = handoff.StatedDue(rule="inv_custody", person="P1", due="2026-05-02")
    rich = next(value for kind, value in values if kind is handoff.Header)
    act = handoff.ClockAct(
        effect="extend", rule="inv_custody", event="", at=1, until=0, by="upper_procuratorate", kind="add", months=1, days=0, hours=0,
        person="P1", document="兰检〔2026〕7号",
    )  # fmt: skip
    values.append((handoff.Header, msgspec.structs.replace(rich, dues=[due], clocks=[act])))
    values += [(handoff.Header, msgspec.structs.replace(rich, log=samples.log_view()))] * 3
    members = town.bundle_of(0, "police")
    values.append((bundle.Manifest, canonical.decode(members["bundle.json"], bundle.Manifest, limit=1 << 22)))
    packed = next(data for name, data in members.items() if name.endswith("manifest.json"))
    values.append((dossier.Manifest, canonical.decode(packed, dossier.Manifest, limit=1 << 20)))
    values += [(lists.TrustList, version.value) for version in place.trusted.versions]
    values += [(Entry, entry) for entry in place.entries]
    return values


VALUES = made()
SCHEMA_OF = dict(STRUCTS)


def takes(schema: Schema, data: bytes) -> bool:
    try:
        closed.read(data, schema)
    except NotCanonical:
        return False
    return True


def library_takes(kind: type, data: bytes) -> bool:
    """As `xieban.statement` reads it, which bounds the lists."""
    try:
        value: Any = canonical.decode(data, kind, limit=1 << 22)
    except XiebanError:
        return False
    return kind is not handoff.Receipt or bool(value.facts)


def test_what_the_library_writes_the_verifier_reads() -> None:
    assert {kind for kind, _ in VALUES} == {kind for kind, _ in STRUCTS}
    assert [value for kind, value in VALUES if not takes(SCHEMA_OF[kind], canonical.encode(value))] == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in leaves(one, (*path, key)))]


ODD = [
    None,
    True,
    -1,
    0,
    1,
    2**53,
    1.5,
    "",
    "x",
    "P1",
    "0" * 64,
    "字" * 70,
    "x" * 600,
    "2026-03-02",
    [],
    {},
    [1],
    {"a": 1},
    4_102_444_800_000_000,
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(VALUES), st.randoms(use_true_random=False))
def test_whatever_a_value_is_changed_to_both_say_the_same_of_it(chosen: tuple[type, Any], rng: random.Random) -> None:
    kind, value = chosen
    plain = msgspec.json.decode(canonical.encode(value))
    path = rng.choice(leaves(plain)[1:])
    target = plain
    for key in path[:-1]:
        target = target[key]
    how = rng.randrange(4)
    if how == 0 and isinstance(target, dict):
        del target[path[-1]]
    elif how == 1 and isinstance(target, dict):
        target[rng.choice(["zz", "at", "v", "dues", "log", "barred", "approvals"])] = rng.choice(ODD)
    else:
        target[path[-1]] = rng.choice(ODD)
    data = closed.spell(plain)
    if kind is Entry and library_takes(kind, data):
        return  # the log's own struct leaves open what the format bounds
    if takes(SCHEMA_OF[kind], data) != library_takes(kind, data):
        assert kind in (bundle.Manifest, dossier.Manifest), (
            path,
            data,
        )  # bounded closer by the format than by the struct
        assert not takes(SCHEMA_OF[kind], data)


def library_believes(data: bytes) -> bool:
    try:
        chain = trust.parse(data, pins=None)
    except XiebanError:
        return False
    return chain.draft is None


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_both_readers_of_a_trust_list_believe_the_same_files(rng: random.Random) -> None:
    data = town.chain().encode()
    file = msgspec.json.decode(data)
    row = rng.choice(file["lists"])
    how = rng.randrange(5)
    if how == 0:
        data = flipped(data, rng)
    elif how == 1:
        row["signatures"].pop(rng.randrange(len(row["signatures"])))
        data = closed.spell(file)
    elif how == 2:
        rng.shuffle(row["signatures"])
        data = closed.spell(file)
    elif how == 3:
        rng.shuffle(file["lists"])
        data = closed.spell(file)
    assert library_believes(data) == (not trustlist.read(data).defects)


AMENDED: list[tuple[str, Any]] = [
    ("index", 2), ("issued_at", 1), ("version", 5), ("previous", "0" * 64), ("city", "tianshui"), ("threshold", 9), ("expires_at", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), AMENDED)
def test_a_third_version_that_may_not_follow_is_believed_by_neither(name: str, value: Any) -> None:
    made = town.chain()
    third = msgspec.structs.replace(made.versions[2].value, **{name: value})
    assert _both_refuse(made, third)


def test_keys_that_vanish_change_or_come_back_are_believed_by_neither() -> None:
    made = town.chain()
    third = made.versions[2].value
    entries = list(third.entries)
    ended = next(number for number, entry in enumerate(entries) if entry.until_index is not None)
    keyed = next(
        number for number, entry in enumerate(entries) if isinstance(entry, lists.Seal) and entry.until_index is None
    )
    change = msgspec.structs.replace
    stranger = lists.Seal(
        agency=Agency.COURT, office="", algorithm="ed25519+sha256", public=town.STRANGER.public.raw.hex(), from_index=third.index - 1
    )  # fmt: skip
    for other in (
        entries[1:],
        [*entries[:ended], change(entries[ended], until_index=None), *entries[ended + 1 :]],
        [*entries[:ended], change(entries[ended], until_index=1), *entries[ended + 1 :]],
        [*entries[:keyed], change(entries[keyed], agency="police", from_index=1), *entries[keyed + 1 :]],
        [
            *entries[:keyed],
            change(entries[keyed], revoked=lists.Revocation(index=999, reason="lost")),
            *entries[keyed + 1 :],
        ],
        entries[::-1],
        sorted([*entries, stranger], key=lists.place),
    ):
        assert _both_refuse(made, change(third, entries=other))


@pytest.mark.parametrize("rows", MISBARRED)
def test_certificates_that_were_barred_stay_so_in_both_readers_and_stand_once_in_order(
    rows: list[lists.Barred],
) -> None:
    made = town.chain()
    assert _both_refuse(made, msgspec.structs.replace(made.versions[2].value, barred=rows))


def test_a_list_that_bars_more_is_believed_by_both_readers() -> None:
    made = town.chain()
    more = [*made.versions[2].value.barred, lists.Barred("ee" * 32, "left")]
    assert not _both_refuse(made, msgspec.structs.replace(made.versions[2].value, barred=more))


def _both_refuse(made: trust.Chain, third: lists.TrustList) -> bool:
    """Signed by everybody who was asked, and all the same."""
    data = town.misled(made, third)
    believed, read = library_believes(data), not trustlist.read(data).defects
    assert believed == read
    return not believed


def test_tables_of_the_library_and_of_the_verifier_are_the_same() -> None:
    assert {kind: row.name for kind, row in procedure.table().kinds.items()} == showing.KINDS
    ladder = {fact: tuple(map(str, origins)) for fact, (origins, _) in handoff.LADDER.items()}
    assert ladder == statements.LADDER
    assert all(target == fact for fact, (_, target) in handoff.LADDER.items())
    assert schemas.SCOPE == notice.SCOPE
    assert set(schemas.LIMIT_OCCASIONS) == set(map(str, notice.OF_A_LIMIT))
    assert bundle.MARK == logchecks.MARK
    assert approvals.TYPE == approval.MATTER
    assert approval.ROLE_NAMES == approvals.ROLES
    assert (bundle.FORMAT, bundle.VERSION) == (schemas.FORMAT, schemas.VERSION)
    assert set(supervision.Act) & {"acknowledge", "explain"} == {"acknowledge", "explain"}
