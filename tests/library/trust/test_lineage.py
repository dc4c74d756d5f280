"""Which trees begin the log as it is now, from founding to founding; and how a list writes a founding."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.library.trust.city import founded, issue, private, signed
from xieban.errors import Reason, XiebanError
from xieban.keys import PublicKey, keyid
from xieban.proof import checkpoint, note
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, SigningKey
from xieban.trust import Chain, Founding, Log, add, lineage, revoke, rotate
from xieban.trust.lists import encode

NAMES = {1: "xieban.lanzhou/log", 2: "xieban.lanzhou/log-2", 3: "xieban.lanzhou/log-3"}


def public(number: int) -> PublicKey:
    return private(200 + number).public


def log(number: int, *, name: int = 0, **fields: Any) -> Log:
    key = public(number)
    return Log(name=NAMES[name or number], algorithm=key.name, public=key.raw.hex(), **fields)


def first() -> Chain:
    return signed(add(founded(), log(1, from_index=0), issue=issue(0)))


def after(before: Chain, ends: int, *new: Log, index: int, reason: Any = "lost") -> Chain:
    """The next version: the log's key of that number ended at `index`, others listed."""
    draft = revoke(before, id=keyid(public(ends)), reason=reason, from_index=None, issue=issue(index))
    return signed(add(draft, *new, issue=issue(index)))


def twice() -> Chain:
    second = after(first(), 1, log(2, from_index=150, keeps=100), index=150)
    return after(second, 2, log(3, from_index=400, keeps=300), index=400)


def test_a_list_without_a_founding_is_spelled_as_before_and_one_with_it_says_what_it_keeps() -> None:
    assert b"keeps" not in encode(first().last.value)
    assert b'"keeps":100' in encode(after(first(), 1, log(2, from_index=150, keeps=100), index=150).last.value)


def test_a_citys_first_log_came_after_none() -> None:
    found = lineage(first().last.value, at=0)
    assert (found.name, found.founding, found.first, found.gaps) == (NAMES[1], None, 0, ())
    assert found.keeps(10**9)


def test_each_founding_leaves_behind_what_it_does_not_keep() -> None:
    found = lineage(twice().last.value, at=400)
    assert found.foundings == (
        Founding(name=NAMES[2], keeps=100, first=150, forked=False),
        Founding(name=NAMES[3], keeps=300, first=400, forked=False),
    )
    assert found.founding == found.foundings[-1]
    kept = {size: found.keeps(size) for size in (1, 100, 101, 150, 151, 300, 301, 400, 401)}
    assert [size for size, yes in kept.items() if yes] == [1, 100, 151, 300, 401]


def test_a_founding_from_further_back_leaves_behind_what_an_earlier_one_kept() -> None:
    second = after(first(), 1, log(2, from_index=150, keeps=100), index=150)
    found = lineage(after(second, 2, log(3, from_index=400, keeps=60), index=400).last.value, at=400)
    assert [size for size in (60, 61, 100, 160, 400, 401) if found.keeps(size)] == [60, 401]


def test_a_founding_that_was_taken_back_before_it_began_did_not_take_place() -> None:
    wrong = after(first(), 1, log(2, from_index=150, keeps=50), index=150)
    found = lineage(after(wrong, 2, log(3, from_index=150, keeps=100), index=150, reason="mistake").last.value, at=150)
    assert found.foundings == (Founding(name=NAMES[3], keeps=100, first=150, forked=False),)


def test_only_a_log_whose_key_was_compromised_may_have_grown_beyond_what_is_kept() -> None:
    found = lineage(
        after(first(), 1, log(2, from_index=150, keeps=100), index=150, reason="compromised").last.value, at=150
    )
    assert found.founding is not None
    assert found.founding.forked


def test_a_founded_log_keeps_its_founding_when_its_key_is_rotated() -> None:
    draft = rotate(twice(), id=keyid(public(3)), to=public(4), overlap=0, issue=issue(500))
    found = lineage(signed(draft).last.value, at=500)
    assert (found.name, found.first) == (NAMES[3], 400)
    assert b'"keeps":300' in encode(draft.last.value)
    assert encode(draft.last.value).count(b"keeps") == 2


def test_before_a_founding_counts_the_log_is_what_it_was() -> None:
    value = after(first(), 1, log(2, from_index=150, keeps=100), index=150).last.value
    assert lineage(value, at=149).foundings == ()
    assert lineage(value, at=149).name == NAMES[1]


def test_a_checkpoint_is_the_logs_under_every_name_it_ever_had_and_no_strangers() -> None:
    found = lineage(twice().last.value, at=400)
    for number, name in NAMES.items():
        key = SigningKey(name, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(bytes([200 + number]) * 32))
        tree = Checkpoint(name, 7, b"\1" * 32)
        assert found.signed(note.Note(tree.text, (checkpoint.sign(tree, key),)).encode()) == tree
        assert found.signer(note.Note(tree.text, (checkpoint.sign(tree, key),)).encode()).name == name
    stranger = SigningKey(NAMES[1], Algorithm.ED25519, Ed25519PrivateKey.generate())
    tree = Checkpoint(NAMES[1], 7, b"\1" * 32)
    with pytest.raises(XiebanError) as raised:
        found.signed(note.Note(tree.text, (checkpoint.sign(tree, stranger),)).encode())
    assert raised.value.reason is Reason.QUORUM_NOT_MET
