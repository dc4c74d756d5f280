"""Everything somebody may do to a bundle after it was made: bytes, members, signatures, proofs, keys.

Members are packed again soundly unless the container itself is what is changed, so that nothing is caught by a check sum alone.
"""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import msgspec

from tests.library.bundles import town
from tests.library.bundles.town import bundle_of, chain, pins
from xieban import bundle, trust
from xieban.proof.note import MAX_NOTE
from xieban.seal import SealKey
from xieban.trust import Barred
from xieban.verify.container import kind_of, pack
from xieban.verify.trustlist import Pins

PROFILES = ("committee", "police", "court")
Members = dict[str, bytes]
KINDS = ("manifest", "checkpoint", "content", "dossier", "salt", "entry", "proof", "mark", "statement", "trust")


@dataclass(frozen=True, slots=True)
class Case:
    """A bundle to verify. `honest`: nothing was done to it."""

    name: str
    data: bytes
    pins: Pins | None
    honest: bool = False


@cache
def base(seed: int, profile: str) -> Members:
    return bundle_of(seed, profile)  # type: ignore[arg-type]


def of_kind(members: Members, kind: str) -> list[str]:
    return [name for name in sorted(members) if (found := kind_of(name)) is not None and found[0] == kind]


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Another byte in one place."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def loose(parts: list[tuple[str, bytes]]) -> bytes:
    """A zip of these members as they come: unsorted, double, of any name."""
    body, directory, offset = b"", b"", 0
    for name, data in parts:
        label = name.encode()
        sizes = struct.pack("<LLLHH", zlib.crc32(data), len(data), len(data), len(label), 0)
        head = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 0, 0, 0x21) + sizes + label
        directory += b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 0, 0, 0x21) + sizes
        directory += struct.pack("<HHHLL", 0, 0, 0, 0, offset) + label
        body += head + data
        offset += len(head) + len(data)
    end = struct.pack("<HHHHLLH", 0, 0, len(parts), len(parts), len(directory), offset, 0)
    return body + directory + b"PK\x05\x06" + end


Tamper = Callable[[Members, random.Random], bytes | Members | None]
"""Gives the file, or members that are packed soundly; None where there is nothing to do it to."""
ALL: dict[str, Tamper] = {}


def tampering(act: Tamper) -> Tamper:
    ALL[act.__name__] = act
    return act


# --- the file


@tampering
def a_byte_of_the_file(members: Members, rng: random.Random) -> bytes:
    return flipped(pack(members), rng)


@tampering
def the_end_cut_off(members: Members, rng: random.Random) -> bytes:
    data = pack(members)
    return data[: rng.randrange(len(data))]


@tampering
def something_behind_the_end(members: Members, rng: random.Random) -> bytes:
    return pack(members) + rng.randbytes(rng.randrange(1, 9))


@tampering
def something_before_the_beginning(members: Members, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 9)) + pack(members)


@tampering
def members_out_of_order(members: Members, rng: random.Random) -> bytes:
    parts = sorted(members.items())
    rng.shuffle(parts)
    return loose(parts)


@tampering
def a_member_twice(members: Members, rng: random.Random) -> bytes:
    name = rng.choice(sorted(members))
    return loose(sorted([*members.items(), (name, flipped(members[name], rng))], key=lambda part: part[0]))


@tampering
def a_member_that_leads_out(members: Members, rng: random.Random) -> bytes:
    name = rng.choice(
        ["../../etc/passwd", "/bundle.json", "statements\\x.json", "C:trust.json", "readme.txt", "", "逮捕.json"]
    )
    return loose(sorted([*members.items(), (name, b"x")], key=lambda part: part[0]))


@tampering
def an_oversized_member(members: Members, rng: random.Random) -> Members:
    name, size = rng.choice([("checkpoint", MAX_NOTE), (rng.choice(of_kind(members, "statement")), 32 * 1024)])
    return {**members, name: members[name] + b" " * size}


# --- members


def _a_byte_of(kind: str) -> Tamper:
    def act(members: Members, rng: random.Random) -> Members | None:
        names = of_kind(members, kind)
        if not names:
            return None
        name = rng.choice(names)
        return {**members, name: flipped(members[name], rng)}

    act.__name__ = f"a_byte_of_a_{kind}"
    return act


for _kind in KINDS:
    tampering(_a_byte_of(_kind))


@tampering
def a_byte_more_or_less(members: Members, rng: random.Random) -> Members:
    name = rng.choice(sorted(members))
    data = members[name]
    at = rng.randrange(len(data))
    changed = data[:at] + data[at + 1 :] if rng.random() < 0.5 else data[:at] + rng.randbytes(1) + data[at:]
    return {**members, name: changed}


@tampering
def a_member_dropped(members: Members, rng: random.Random) -> Members | None:
    # A whole dossier may be taken off again: it was never part of what was exported.
    names = [name for name in members if not name.startswith("dossiers/")]
    gone = rng.choice(sorted(names))
    return {name: data for name, data in members.items() if name != gone}


@tampering
def an_entry_dropped_with_its_proof(members: Members, rng: random.Random) -> Members:
    gone = rng.choice(of_kind(members, "entry"))[:-5]
    return {name: data for name, data in members.items() if not name.startswith(gone)}


@tampering
def a_part_of_a_dossier_dropped(members: Members, rng: random.Random) -> Members | None:
    names = [*of_kind(members, "salt"), *of_kind(members, "dossier")]
    names += [
        name
        for name in of_kind(members, "content")
        if not name.endswith("001") or name.replace("001", "002") in members
    ]
    if not names:
        return None
    gone = rng.choice(names)
    return {name: data for name, data in members.items() if name != gone}


@tampering
def two_members_swapped(members: Members, rng: random.Random) -> Members | None:
    names = of_kind(members, rng.choice(["entry", "proof", "statement", "salt", "dossier", "content"]))
    pairs = [(a, b) for a in names for b in names if a < b and members[a] != members[b]]
    if not pairs:
        return None
    one, other = rng.choice(pairs)
    return {**members, one: members[other], other: members[one]}


@tampering
def a_member_renamed(members: Members, rng: random.Random) -> Members | None:
    name = rng.choice([*of_kind(members, "statement"), *of_kind(members, "entry"), *of_kind(members, "mark")])
    kept = {key: data for key, data in members.items() if key != name}
    if name.startswith("statements/"):
        return {**kept, bundle.statement_name(rng.randbytes(32).hex()): members[name]}
    if name.startswith("entries/"):
        return {**kept, bundle.entry_names(rng.randrange(1, 90))[0]: members[name]}
    return {
        **kept,
        bundle.mark_name(bundle.mark_of(rng.randrange(1, 90), rng.choice(["first", "last"]))): members[name],
    }


@tampering
def a_member_of_another_bundle(members: Members, rng: random.Random) -> Members | None:
    other = base(rng.randrange(4), rng.choice(PROFILES))
    names = [name for name in sorted(members) if name in other and members[name] != other[name]]
    if not names:
        return None
    name = rng.choice(names)
    return {**members, name: other[name]}


@tampering
def a_statement_of_another_case(members: Members, rng: random.Random) -> Members:
    outside = town.Town(seed=rng.randrange(9))
    eid = outside.send("arrest_request", town.PS, town.PP, case=town.OTHER)
    if rng.random() < 0.7:
        eid = outside.state(town.PP, town.PS, (eid, "delivered"))
    members = {**members, bundle.statement_name(eid): bundle.envelope(outside.statements[eid])}
    if rng.random() < 0.5:
        manifest = json.loads(members["bundle.json"])
        manifest["statements"] = sorted([*manifest["statements"], eid])
        members["bundle.json"] = spell(manifest)
    return members


# --- manifest


def spell(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@tampering
def the_manifest_rewritten(members: Members, rng: random.Random) -> Members:
    manifest = json.loads(members["bundle.json"])
    name = rng.choice(
        ["statements", "entries", "marks", "case", "profile", "at", "sandbox", "trust", "city", "v", "format", "more"]
    )
    if name in ("statements", "entries", "marks") and manifest[name]:
        rows = manifest[name]
        rng.choice([rows.reverse, rows.pop, lambda: rows.append(rows[0])])()
    else:
        manifest[name] = {
            "case": town.OTHER, "profile": "procuratorate", "at": manifest["at"] + 1, "sandbox": not manifest["sandbox"],
            "trust": "0" * 64, "city": "tianshui", "v": rng.choice([0, 2, "1", 1.5]), "format": "other", "more": 1,
        }.get(name, [])  # fmt: skip
    return {**members, "bundle.json": spell(manifest)}


@tampering
def another_spelling(members: Members, rng: random.Random) -> Members:
    name = rng.choice(["bundle.json", "trust.json", *of_kind(members, "statement"), *of_kind(members, "entry")])
    value = json.loads(members[name])
    how = rng.randrange(4)
    if how == 0:
        data = json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    elif how == 1:
        data = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    elif how == 2:
        data = b"{" + b",".join(members[name].strip(b"{}").split(b",")[:1]) + b"," + members[name][1:]
    else:
        data = json.dumps(dict(reversed(value.items())), ensure_ascii=False, separators=(",", ":")).encode()
    return {**members, name: data}


# --- signatures


def _envelope(members: Members, rng: random.Random) -> tuple[str, dict[str, object]]:
    name = rng.choice(of_kind(members, "statement"))
    return name, json.loads(members[name])


def _pae(envelope: dict[str, object]) -> bytes:
    kind, payload = str(envelope["type"]).encode(), base64.b64decode(str(envelope["payload"]))
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@tampering
def the_signature_of_another_key(members: Members, rng: random.Random) -> Members:
    name, envelope = _envelope(members, rng)
    payload = json.loads(base64.b64decode(str(envelope["payload"])))
    own = town.SEALS[payload["from"]["agency"]].keyid
    keys = [key for key in (*town.SEALS.values(), town.STRANGER, town.OFFICE_KEY) if key.keyid != own]
    key = rng.choice([key for key in keys if key is not town.OFFICE_KEY or payload["from"]["agency"] != town.PP])
    sealed = key.seal(str(envelope["type"]), base64.b64decode(str(envelope["payload"])))  # type: ignore[arg-type]
    return {**members, name: bundle.envelope(sealed)}


@tampering
def a_signature_of_the_right_key_over_something_else(members: Members, rng: random.Random) -> Members:
    name, envelope = _envelope(members, rng)
    rows = envelope["signatures"]
    assert isinstance(rows, list)
    keys = {key.keyid: key for key in (*town.SEALS.values(), town.OFFICE_KEY, town.NEW_COURT)}
    sealed = keys[rows[0]["keyid"]].seal("header", b"{}")
    rows[0]["sig"] = base64.b64encode(sealed.signatures[0].sig).decode()
    return {**members, name: spell(envelope)}


@tampering
def signatures_taken_away_or_added(members: Members, rng: random.Random) -> Members:
    name, envelope = _envelope(members, rng)
    rows = envelope["signatures"]
    assert isinstance(rows, list)
    envelope["signatures"] = rng.choice([[], rows * 2, [*rows, {"keyid": town.STRANGER.keyid, "sig": rows[0]["sig"]}]])
    return {**members, name: spell(envelope)}


@tampering
def the_type_of_a_statement_changed(members: Members, rng: random.Random) -> Members:
    name, envelope = _envelope(members, rng)
    envelope["type"] = rng.choice(
        [kind for kind in ("header", "receipt", "ticket", "notice", "x") if kind != envelope["type"]]
    )
    return {**members, name: spell(envelope)}


@tampering
def a_payload_changed_and_sealed_again(members: Members, rng: random.Random) -> Members:
    """By the author himself: only the log can tell."""
    name, envelope = _envelope(members, rng)
    payload = json.loads(base64.b64decode(str(envelope["payload"])))
    payload["inc"] += 1
    sealed = town.SEALS[payload["from"]["agency"]].seal(str(envelope["type"]), spell(payload))  # type: ignore[arg-type]
    kept = {key: data for key, data in members.items() if key != name}
    kept[bundle.statement_name(sealed.eid)] = bundle.envelope(sealed)
    if rng.random() < 0.5:
        manifest = json.loads(members["bundle.json"])
        manifest["statements"] = sorted([*(eid for eid in manifest["statements"] if eid not in name), sealed.eid])
        kept["bundle.json"] = spell(manifest)
    return kept


@tampering
def approvals_changed_and_sealed_again(members: Members, rng: random.Random) -> Members | None:
    """By the node that sent them, behind its officers' backs."""
    payloads = {name: base64.b64decode(json.loads(members[name])["payload"]) for name in of_kind(members, "statement")}
    approved = [name for name, payload in payloads.items() if b'"approvals"' in payload]
    if not approved:
        return None
    name = rng.choice(approved)
    payload = json.loads(payloads[name])
    rows = payload["approvals"]
    how = rng.randrange(5)
    if how == 0:
        rows.pop(rng.randrange(2))
    elif how == 1:
        rows.reverse()
    elif how == 2:
        rows[0]["sig"], rows[1]["sig"] = rows[1]["sig"], rows[0]["sig"]
    elif how == 3:
        rng.choice(rows)["keyid"] = rng.choice(
            [row["keyid"] for row in rows] + [town.STRANGER.keyid, rng.randbytes(8).hex()]
        )
        payload["inc"] += 1
    else:
        del payload["approvals"]
    sealed = town.SEALS[payload["from"]["agency"]].seal("header", spell(payload))
    kept = {key: data for key, data in members.items() if key != name}
    manifest = json.loads(members["bundle.json"])
    manifest["statements"] = sorted([*(eid for eid in manifest["statements"] if eid not in name), sealed.eid])
    return {**kept, bundle.statement_name(sealed.eid): bundle.envelope(sealed), "bundle.json": spell(manifest)}


# --- log


@tampering
def the_place_of_an_entry_changed(members: Members, rng: random.Random) -> Members:
    name = rng.choice(of_kind(members, "entry"))
    entry = json.loads(members[name])
    entry["position"] = rng.randrange(1, 60)
    return {**members, name: spell(entry)} if entry["position"] != int(name[8:20]) else {**members, name: b"{}"}


@tampering
def an_entry_rewritten(members: Members, rng: random.Random) -> Members:
    name = rng.choice(of_kind(members, "entry"))
    entry = json.loads(members[name])
    field = rng.choice(["kind", "at", "case", "eid", "detail", "nonce"])
    new = {
        "kind": "ACCEPTED",
        "at": entry["at"] - 3_600_000_000,
        "case": town.OTHER,
        "eid": "0" * 64,
        "detail": "x",
        "nonce": "",
    }[field]
    entry[field] = new if entry[field] != new else None
    return {**members, name: spell(entry)}


@tampering
def the_index_of_a_proof_changed(members: Members, rng: random.Random) -> Members:
    name = rng.choice(of_kind(members, "proof"))
    lines = members[name].split(b"\n")
    lines[1] = b"index %d" % (int(lines[1][6:]) + rng.choice([-1, 1, 2]))
    return {**members, name: b"\n".join(lines)}


@tampering
def the_hashes_of_a_proof_changed(members: Members, rng: random.Random) -> Members:
    name = rng.choice([*of_kind(members, "proof"), *of_kind(members, "mark")])
    head, _, rest = members[name].partition(b"\n\n")
    lines = head.split(b"\n")
    first = 2 if name.endswith("proof") else 1
    hashes = lines[first:]
    changed = rng.choice(
        [
            hashes[:-1],
            [*hashes, base64.b64encode(rng.randbytes(32))],
            hashes[::-1],
            [base64.b64encode(rng.randbytes(32)), *hashes[1:]],
        ]
    )
    if changed == hashes:
        changed = [*hashes, base64.b64encode(bytes(32))]
    return {**members, name: b"\n".join([*lines[:first], *changed]) + b"\n\n" + rest}


def _everywhere(members: Members, checkpoint: bytes) -> Members:
    """The same with another checkpoint, in all proofs too."""
    old = members["checkpoint"]
    return {name: data.replace(old, checkpoint) for name, data in members.items()}


@tampering
def a_cosignature_taken_away(members: Members, rng: random.Random) -> Members:
    text, _, lines = members["checkpoint"].partition(b"\n\n")
    rows = lines.splitlines(keepends=True)
    rows.pop(rng.randrange(len(rows)))
    return _everywhere(members, text + b"\n\n" + b"".join(rows))


@tampering
def a_cosignature_of_a_stranger(members: Members, rng: random.Random) -> Members:
    line = b"\xe2\x80\x94 stranger " + base64.b64encode(rng.randbytes(76)) + b"\n"
    return _everywhere(members, members["checkpoint"] + line)


@tampering
def a_cosignature_twice(members: Members, rng: random.Random) -> Members:
    return _everywhere(members, members["checkpoint"] + members["checkpoint"].splitlines(keepends=True)[-1])


@tampering
def the_time_of_a_cosignature_changed(members: Members, rng: random.Random) -> Members:
    text, _, lines = members["checkpoint"].partition(b"\n\n")
    rows = lines.splitlines()
    number = rng.randrange(1, len(rows))
    name, _, value = rows[number].rpartition(b" ")
    octets = bytearray(base64.b64decode(value))
    octets[4 + rng.randrange(8)] ^= 1
    rows[number] = name + b" " + base64.b64encode(octets)
    return _everywhere(members, text + b"\n\n" + b"".join(row + b"\n" for row in rows))


@tampering
def the_checkpoint_of_another_tree(members: Members, rng: random.Random) -> Members:
    other = town.Town(seed=77)
    other.note("LODGED", "1" * 64)
    for number in range(rng.randrange(60)):
        other.note("LODGED", f"{number:064x}")
    other.witness()
    size, times = other.marks[-1]
    checkpoint = other.note_of(size, times)
    return _everywhere(members, checkpoint) if rng.random() < 0.7 else {**members, "checkpoint": checkpoint}


@tampering
def an_earlier_checkpoint_of_the_same_log(members: Members, rng: random.Random) -> Members | None:
    marks = of_kind(members, "mark")
    earlier = members[rng.choice(marks)].partition(b"\n\n")[2] if marks else b""
    return _everywhere(members, earlier) if marks else None


# --- keys


@tampering
def an_older_trust_list(members: Members, rng: random.Random) -> Members:
    file = json.loads(members["trust.json"])
    return {**members, "trust.json": spell({"lists": file["lists"][: rng.randrange(1, 3)]})}


@tampering
def root_signatures_taken_away(members: Members, rng: random.Random) -> Members:
    file = json.loads(members["trust.json"])
    rows = file["lists"][rng.randrange(3)]["signatures"]
    while len(rows) > 2:
        rows.pop(rng.randrange(len(rows)))
    return {**members, "trust.json": spell(file)}


@tampering
def a_root_signature_over_something_else(members: Members, rng: random.Random) -> Members:
    file = json.loads(members["trust.json"])
    row = rng.choice(rng.choice(file["lists"])["signatures"])
    keys = {SealKey(root).keyid: root for root in (*town.ROOTS, town.NEW_ROOT)}
    row["sig"] = base64.b64encode(keys[row["keyid"]].sign(b"something else")).decode()
    return {**members, "trust.json": spell(file)}


@tampering
def trust_versions_changed_about(members: Members, rng: random.Random) -> Members:
    file = json.loads(members["trust.json"])
    file["lists"] = rng.choice(
        [file["lists"][::-1], file["lists"][1:], [file["lists"][0], file["lists"][2]], file["lists"] * 2]
    )
    return {**members, "trust.json": spell(file)}


@tampering
def other_roots_all_through(members: Members, rng: random.Random) -> Members:
    """A whole chain of somebody else's roots: sound in itself."""
    roots = tuple(town.private(2000 + number) for number in range(5))
    return {**members, "trust.json": chain(roots=roots).encode()}


@tampering
def one_more_trust_list(members: Members, rng: random.Random) -> Members:
    issue = trust.Issue(index=500, at=town.BEGIN, expires_at=town.BEGIN + 3 * town.LIFE)
    grown = trust.renew(chain(), issue=issue)
    for root in (*town.ROOTS[1:4],):
        grown = trust.sign(grown, root)
    return {**members, "trust.json": grown.encode()}


_STOLEN, _LOST = Barred(town.STOLEN, "compromised"), Barred(town.LOST, "lost")
MISBARRED: list[list[Barred]] = [
    [],
    [_LOST],
    [_LOST, Barred(town.STOLEN, "mistake")],
    [_STOLEN, _LOST],
    [_STOLEN, _STOLEN],
    [_STOLEN, Barred(town.AUTHORITY, "mistake")],
    [_STOLEN, Barred("XY" * 32, "lost")],
]
"""What the third version of the town's list may not bar: only `[_LOST, _STOLEN]`, sorted, keeps what the second barred."""


def misbarring(members: Members, rows: list[Barred]) -> Members:
    """With a list that enough roots have signed, who were deceived."""
    made = chain()
    third = msgspec.structs.replace(made.versions[2].value, barred=rows)
    return {**members, "trust.json": town.misled(made, third)}


@tampering
def a_list_that_bars_other_certificates(members: Members, rng: random.Random) -> Members:
    return misbarring(members, rng.choice(MISBARRED))


CAUGHT_BY = {
    "a_list_that_bars_other_certificates": "trust", "approvals_changed_and_sealed_again": "entries",
    "a_byte_of_a_content": "files", "a_byte_of_a_dossier": "commitments", "a_byte_of_a_salt": "commitments",
    "a_byte_of_a_entry": "inclusion", "a_byte_of_a_proof": "inclusion", "a_byte_of_a_mark": "times", "a_byte_of_a_trust": "trust",
    "a_byte_of_the_file": "container", "something_behind_the_end": "container", "members_out_of_order": "container",
    "a_member_twice": "container", "a_member_that_leads_out": "container", "an_oversized_member": "container",
    "a_member_dropped": "manifest", "an_entry_dropped_with_its_proof": "manifest", "a_member_renamed": "manifest",
    "the_signature_of_another_key": "seals", "a_signature_of_the_right_key_over_something_else": "seals",
    "signatures_taken_away_or_added": "seals", "the_type_of_a_statement_changed": "canonical",
    "the_place_of_an_entry_changed": "inclusion", "an_entry_rewritten": "inclusion", "the_index_of_a_proof_changed": "inclusion",
    "a_cosignature_taken_away": "checkpoint", "a_cosignature_of_a_stranger": "checkpoint", "a_cosignature_twice": "checkpoint",
    "the_time_of_a_cosignature_changed": "checkpoint", "the_checkpoint_of_another_tree": "inclusion",
    "an_earlier_checkpoint_of_the_same_log": "inclusion", "an_older_trust_list": "trust", "root_signatures_taken_away": "trust",
    "trust_versions_changed_about": "trust",
    "a_root_signature_over_something_else": "trust", "other_roots_all_through": "roots", "one_more_trust_list": "trust",
}  # fmt: skip
"""The check that must fail, where there is one for it whatever the details; others may fail too."""


def with_pins(case: Case, rng: random.Random) -> Case:
    """The same, read by somebody who was given other pins, or none."""
    right = pins()
    wrong = frozenset([*sorted(right.roots)[1:], "0" * 64])
    chosen = rng.choice(
        [None, Pins(wrong, right.threshold), Pins(right.roots, 2), Pins(frozenset(list(right.roots)[:4]))]
    )
    return Case(f"{case.name}+pins", case.data, chosen, honest=False)


def cases(count: int, *, seed: int = 0) -> Iterator[Case]:
    """So many bundles: every tampering in turn on bundles of every profile, an honest one now and then, other pins now and then."""
    rng = random.Random(seed)
    names = sorted(ALL)
    made = 0
    while made < count:
        members = base(rng.randrange(4), rng.choice(PROFILES))
        name = names[made % len(names)]
        if rng.random() < 0.05:
            found = Case("honest", pack(members), pins(), honest=True)
        else:
            done = ALL[name](dict(members), rng)
            if done is None:
                members = base(rng.randrange(4), "police")
                done = ALL[name](dict(members), rng)
            if done is None:
                continue
            found = Case(name, done if isinstance(done, bytes) else pack(done), pins())
        if rng.random() < 0.04:
            found = with_pins(found, rng)
        made += 1
        yield found
