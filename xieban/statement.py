"""Statements off the bus: verify first, parse second, hand on only what was verified.

The subject says who is supposed to speak to whom; the seal must be that speaker's, and the payload must say the same. Writers use
the functions at the end, so that there is one way to make a statement and one way to read it.
"""

from __future__ import annotations

from xieban import canonical
from xieban.agency import PARTIES, Agency
from xieban.errors import Reason, failure
from xieban.handoff import (
    HEADER_VERSION,
    MAX_ACTS,
    MAX_APPROVALS,
    MAX_CLOCKS,
    MAX_FACTS,
    MAX_HOLDS,
    MAX_LOGGED,
    MAX_REFERENCES,
    Header,
    Receipt,
    Ticket,
)
from xieban.marshal import sealed_from_bytes
from xieban.notice import KEPT, NOTICE_VERSION, Notice, Reply, check_notice, check_reply
from xieban.reconcile import SUMMARY_VERSION, Summary
from xieban.seal import Directory, Sealed, SealKey, StatementType
from xieban.subjects import Address

MAX_SHOWN = 2**32 - 1
_WHAT = {
    "handoff": "header", "receipt": "receipt", "ticket": "ticket", "notice": "notice", "reply": "reply", "summary": "summary",
}  # fmt: skip


def open_header(
    data: bytes, *, address: Address, directory: Directory, index: int | None = None
) -> tuple[Sealed, Header]:
    """A header as carried. `index` is its place in the supervision log, where it is known (`Directory.verify`).

    Errors: PAYLOAD_NOT_CANONICAL, KEY_UNKNOWN, KEY_OUT_OF_SPAN, SEAL_INVALID, MESSAGE_TOO_LARGE, FIELD_INVALID.
    """
    sealed, office = _open(data, address=address, directory=directory, index=index)
    header = canonical.decode(sealed.payload, Header)
    ends = (header.sender.city, header.sender.agency, header.receiver.city, header.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(office in ("", header.sender.office), "from")
    _match(header.v == HEADER_VERSION, "v")
    _match(header.lane.seq >= 1 and (header.lane.seq == 1) == (header.lane.prev == ""), "lane")
    _match(len(header.re) <= MAX_REFERENCES and len(header.acts) <= MAX_ACTS, "acts")
    _match(len(header.clocks) <= MAX_CLOCKS, "clocks")
    _match(len(header.approvals) <= MAX_APPROVALS, "approvals")
    # What was taken in has to be shown: a number that no message of the API can hold would close the inbox to its readers.
    _match(header.lane.seq <= MAX_SHOWN, "lane")
    _match(all(max(act.months, act.days, act.hours) <= MAX_SHOWN for act in header.clocks), "clocks")
    return sealed, header


def open_receipt(
    data: bytes, *, address: Address, directory: Directory, index: int | None = None
) -> tuple[Sealed, Receipt]:
    """A receipt as carried. Errors as for `open_header`."""
    sealed = _open_whole(data, address=address, directory=directory, index=index)
    receipt = canonical.decode(sealed.payload, Receipt)
    ends = (receipt.sender.city, receipt.sender.agency, receipt.receiver.city, receipt.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(receipt.v == HEADER_VERSION and 1 <= len(receipt.facts) <= MAX_FACTS, "facts")
    return sealed, receipt


def open_ticket(data: bytes, *, address: Address, directory: Directory) -> Ticket:
    """A ticket as carried. Errors as for `open_header`. Nobody but the gateway gives its word on the log."""
    sealed = _open_whole(data, address=address, directory=directory)
    ticket = canonical.decode(sealed.payload, Ticket)
    ends = (ticket.sender.city, ticket.sender.agency, ticket.receiver.city, ticket.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(ticket.v == HEADER_VERSION and len(ticket.holds) <= MAX_HOLDS, "holds")
    _match(len(ticket.logged) <= (MAX_LOGGED if address.sender == Agency.GATEWAY else 0), "logged")
    return ticket


def open_notice(
    data: bytes, *, address: Address, directory: Directory, index: int | None = None
) -> tuple[Sealed, Notice]:
    """A notice as carried. Errors as for `open_header`; also SECRET_MARK, TEXT_FORBIDDEN. Nobody but the gateway gives notice."""
    sealed = _open_whole(data, address=address, directory=directory, index=index)
    _match(address.sender == Agency.GATEWAY, "from")
    notice = canonical.decode(sealed.payload, Notice)
    ends = (notice.sender.city, notice.sender.agency, notice.receiver.city, notice.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(notice.v == NOTICE_VERSION, "v")
    _match(notice.demand is None or notice.demand.state not in KEPT, "demand")
    check_notice(notice)
    return sealed, notice


def open_reply(
    data: bytes, *, address: Address, directory: Directory, index: int | None = None
) -> tuple[Sealed, Reply]:
    """A reply as carried. Errors as for `open_notice`."""
    sealed = _open_whole(data, address=address, directory=directory, index=index)
    _match(address.sender in set(PARTIES) and address.receiver == Agency.GATEWAY, "from/to")
    reply = canonical.decode(sealed.payload, Reply)
    ends = (reply.sender.city, reply.sender.agency, reply.receiver.city, reply.receiver.agency)
    _match(ends == (address.city, address.sender, address.city, address.receiver), "from/to")
    _match(reply.v == NOTICE_VERSION, "v")
    check_reply(reply)
    return sealed, reply


def open_summary(data: bytes, *, city: str, sender: str, receiver: str, directory: Directory) -> Summary:
    """A node's word on what it holds, as it answered a question. Errors as for `open_header`."""
    address = Address(city=city, what="summary", sender=sender, receiver=receiver)
    sealed = _open_whole(data, address=address, directory=directory)
    summary = canonical.decode(sealed.payload, Summary)
    ends = (summary.sender.city, summary.sender.agency, summary.receiver.city, summary.receiver.agency)
    _match(ends == (city, sender, city, receiver), "from/to")
    _match(summary.v == SUMMARY_VERSION, "v")
    return summary


def seal_header(header: Header, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("header", header, key)


def seal_receipt(receipt: Receipt, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("receipt", receipt, key)


def seal_ticket(ticket: Ticket, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("ticket", ticket, key)


def seal_notice(notice: Notice, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE, and those of `check_notice`."""
    check_notice(notice)
    return _seal("notice", notice, key)


def seal_reply(reply: Reply, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE, and those of `check_reply`."""
    check_reply(reply)
    return _seal("reply", reply, key)


def seal_summary(summary: Summary, key: SealKey) -> Sealed:
    """Errors: MESSAGE_TOO_LARGE."""
    return _seal("summary", summary, key)


def _seal(what: StatementType, value: Header | Receipt | Ticket | Notice | Reply | Summary, key: SealKey) -> Sealed:
    payload = canonical.encode(value)
    if len(payload) > canonical.MAX_PAYLOAD:
        raise failure(Reason.MESSAGE_TOO_LARGE, what="报文", size=len(payload), limit=canonical.MAX_PAYLOAD)
    canonical.decode(payload, type(value))  # what its reader would refuse is never signed
    return key.seal(what, payload)


def _open_whole(data: bytes, *, address: Address, directory: Directory, index: int | None = None) -> Sealed:
    """As `_open`, of what an agency says as a whole: the key of one of its offices is not enough."""
    sealed, office = _open(data, address=address, directory=directory, index=index)
    _match(office == "", "from")
    return sealed


def _open(data: bytes, *, address: Address, directory: Directory, index: int | None) -> tuple[Sealed, str]:
    """The verified envelope, and the only office that its key may speak for (empty: any of the agency)."""
    sealed = sealed_from_bytes(data)
    _match(sealed.type == _WHAT.get(address.what), "type")
    try:
        speaker = Agency(address.sender)
    except ValueError as error:
        raise failure(Reason.FIELD_INVALID, field="subject", detail="发送方不是已知机关") from error
    return sealed, directory.verify(sealed, city=address.city, agency=speaker, index=index).office


def _match(holds: bool, field: str) -> None:
    if not holds:
        raise failure(Reason.FIELD_INVALID, field=field, detail="与签名主体或者通道不一致")
