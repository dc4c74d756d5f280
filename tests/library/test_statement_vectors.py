"""The published vectors: checked here once with nothing but the standard library and a signature check, and once with the library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.library.make_vectors import vectors
from tests.library.samples import DIRECTORY, HANDOFF, NOTICE, NOTICES, POLICE_KEY, PROMISE, RECEIPT, REPLY, TICKET
from xieban import canonical, dossier
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError
from xieban.handoff import Commitment, Header, Receipt, Ticket
from xieban.notice import Notice, Reply
from xieban.statement import open_header, open_notice, open_receipt, open_reply, open_ticket

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "statements.json").read_text(encoding="utf-8")
)
KEYS = {row["keyid"]: row for row in VECTORS["keys"]}


def by_name(rows: list[dict[str, Any]], key: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=row[key]) for row in rows])


def test_the_file_is_what_the_library_would_write() -> None:
    """A difference is a change of the wire: either a mistake, or a new edition of the vectors."""
    assert vectors() == VECTORS
    assert len(VECTORS["refused_headers"]) == 18


def test_the_keys_belong_together() -> None:
    for row in VECTORS["keys"]:
        public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(row["private"])).public_key().public_bytes_raw()
        assert public.hex() == row["public"]
        assert hashlib.sha256(public).hexdigest()[:16] == row["keyid"]


@by_name(VECTORS["statements"], "name")
def test_a_statement_checks_without_this_library(row: dict[str, Any]) -> None:
    payload = row["payload"].encode()
    kind = row["type"].encode()
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    assert hashlib.sha256(signed).hexdigest() == row["eid"]
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(KEYS[row["signer"]]["public"]))
    public.verify(bytes.fromhex(row["sig"]), signed)
    assert (
        json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == payload
    )


@by_name(VECTORS["statements"], "name")
def test_the_library_opens_a_statement(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["envelope"])
    value: Header | Receipt | Ticket | Notice | Reply
    if row["type"] == "header":
        sealed, value = open_header(data, address=HANDOFF, directory=DIRECTORY)
        assert sealed.eid == row["eid"]
    elif row["type"] == "receipt":
        sealed, value = open_receipt(data, address=RECEIPT, directory=DIRECTORY)
        assert sealed.eid == row["eid"]
    elif row["type"] == "notice":
        sealed, value = open_notice(data, address=NOTICE, directory=NOTICES)
        assert sealed.eid == row["eid"]
    elif row["type"] == "reply":
        sealed, value = open_reply(data, address=REPLY, directory=NOTICES)
        assert sealed.eid == row["eid"]
    elif KEYS[row["signer"]]["agency"] == "gateway":
        value = open_ticket(data, address=PROMISE, directory=NOTICES)
        assert value.logged
    else:
        value = open_ticket(data, address=TICKET, directory=DIRECTORY)
        assert not value.logged
    assert canonical.encode(value).decode() == row["payload"]


@by_name(VECTORS["refused_headers"], "why")
def test_the_library_refuses_what_must_be_refused(row: dict[str, Any]) -> None:
    sealed = POLICE_KEY.seal("header", row["payload"].encode())
    DIRECTORY.verify(sealed, city="lanzhou", agency=Agency.POLICE)
    with pytest.raises(XiebanError) as raised:
        canonical.decode(sealed.payload, Header)
    assert raised.value.reason is Reason.PAYLOAD_NOT_CANONICAL


def test_the_dossiers_commitment_is_the_salted_digest_of_its_manifest() -> None:
    row = VECTORS["dossier"]
    salt, manifest = bytes.fromhex(row["salt"]), row["manifest"].encode()
    assert hashlib.sha256(salt + manifest).hexdigest() == row["commitment"]
    commitment = Commitment(commit=row["commitment"], files=row["files"], bytes=row["bytes"], pages=row["pages"])
    assert dossier.verify(commitment, salt=salt, manifest=manifest, contents=["示例文书".encode()]).v == 1
