"""Statements off the bus: verify first, parse second, hand on only what was verified.

The subject says who is supposed to speak to whom; the seal must be that speaker's, and the payload must say the same. Writers use
the functions at the end, so that there is one way to make a statement and one way to read it.
"""

from __future__ import annotations

from xieban import canonical
from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.handoff import (
    HEADER_VERSION,
    MAX_ACTS,
    MAX_CLOCKS,
    MAX_FACTS,
    MAX_HOLDS,
    MAX_REFERENCES,
    Header,
    Receipt,
    Ticket,
)
from xieban.marshal import sealed_from_bytes
from xieban.seal import Directory, Sealed, SealKey, StatementType
from xieban.subjects import Address

_WHAT = {"handoff": "header", "receipt": "receipt", "ticket": "ticket"}


def open_header(data: bytes, *, address: Address, directory: Directory) -> tuple[Sealed, Header]:
    """A header as carried. Errors: PAYLOAD_NOT_CANONICAL, KEY_UNKNOWN, SEAL_INVALID, MESSAGE_TOO_LARGE, FIELD_INVALID."""
    sealed = _open(data, address=address, directory=directory)
    header = canonical.decode(sealed.payload, Header)
    ends = (header.sender.city, header.sender.agency, header.receiver.city, header.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(header.v == HEADER_VERSION, "v")
    _match(header.lane.seq >= 1 and (header.lane.seq == 1) == (header.lane.prev == ""), "lane")
    _match(len(header.re) <= MAX_REFERENCES and len(header.acts) <= MAX_ACTS, "acts")
    _match(len(header.clocks) <= MAX_CLOCKS, "clocks")
    return sealed, header


def open_receipt(data: bytes, *, address: Address, directory: Directory) -> tuple[Sealed, Receipt]:
    """A receipt as carried. Errors as for `open_header`."""
    sealed = _open(data, address=address, directory=directory)
    receipt = canonical.decode(sealed.payload, Receipt)
    ends = (receipt.sender.city, receipt.sender.agency, receipt.receiver.city, receipt.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(receipt.v == HEADER_VERSION and 1 <= len(receipt.facts) <= MAX_FACTS, "facts")
    return sealed, receipt


def open_ticket(data: bytes, *, address: Address, directory: Directory) -> Ticket:
    """A ticket as carried. Errors as for `open_header`."""
    sealed = _open(data, address=address, directory=directory)
    ticket = canonical.decode(sealed.payload, Ticket)
    ends = (ticket.sender.city, ticket.sender.agency, ticket.receiver.city, ticket.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(ticket.v == HEADER_VERSION and len(ticket.holds) <= MAX_HOLDS, "holds")
    return ticket


def seal_header(header: Header, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("header", header, key)


def seal_receipt(receipt: Receipt, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("receipt", receipt, key)


def seal_ticket(ticket: Ticket, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("ticket", ticket, key)


def _seal(what: StatementType, value: Header | Receipt | Ticket, key: SealKey) -> Sealed:
    payload = canonical.encode(value)
    if len(payload) > canonical.MAX_PAYLOAD:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="报文", size=len(payload), limit=canonical.MAX_PAYLOAD)
    canonical.decode(payload, type(value))  # what its reader would refuse is never signed
    return key.seal(what, payload)


def _open(data: bytes, *, address: Address, directory: Directory) -> Sealed:
    sealed = sealed_from_bytes(data)
    _match(sealed.type == _WHAT.get(address.what), "type")
    try:
        speaker = Agency(address.sender)
    except ValueError as error:
        raise failure(Reason.FIELD_INVALID, field="subject", detail="发送方不是已知机关") from error
    directory.verify(sealed, city=address.city, agency=speaker)
    return sealed


def _match(holds: bool, field: str) -> None:
    if not holds:
        raise failure(Reason.FIELD_INVALID, field=field, detail="与签名主体或者通道不一致")
