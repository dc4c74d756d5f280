"""The agency's API: who may call, marshalling, paging. Deciding is the desk's work.

Only systems of the agency itself are served here, by the identity in their certificate. Other nodes pull dossiers elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc.aio

from services.agency import contents, convert, store
from services.agency.desk import WITHDRAWAL
from services.agency.sending import Decide, Draft, Order, Send
from services.agency.store import CaseRow, Entry, FactRow
from services.chassis.batch import Batcher
from services.chassis.bell import Bell
from services.chassis.database import Database, Transaction
from services.chassis.telemetry import inject, span
from xieban import canonical, dossier, marshal
from xieban.agency import office
from xieban.dossier import CaseNumbers, Document, Dossier, Manifest
from xieban.errors import Reason, failure
from xieban.handoff import FactKind, State
from xieban.ids import case_id, eid
from xieban.wire.v1 import case_pb2, case_pb2_grpc, handoff_pb2, handoff_pb2_grpc

HANDOFF_SERVICE = "xieban.wire.v1.HandoffService"
CASE_SERVICE = "xieban.wire.v1.CaseService"
MAX_PAGE = 200
DEFAULT_PAGE = 50
WATCH_PAGE = 100
_LAST = 2**62

Context = grpc.aio.ServicerContext[Any, Any]


class HandoffServicer(handoff_pb2_grpc.HandoffServiceServicer):
    """HandoffService."""

    def __init__(self, *, database: Database, orders: Batcher[Order, Entry], bell: Bell) -> None:
        self._database = database
        self._orders = orders
        self._bell = bell

    async def Send(self, request: handoff_pb2.SendRequest, context: Context) -> handoff_pb2.SendResponse:
        with span("handoff.send"):
            draft = convert.draft_from_pb(request.draft)
            entry = await self._orders.submit(Send(draft=draft, trace=_trace()))
        return handoff_pb2.SendResponse(handoff=await self._sent(entry))

    async def Answer(self, request: handoff_pb2.AnswerRequest, context: Context) -> handoff_pb2.AnswerResponse:
        with span("handoff.answer"):
            answered = eid(request.eid)
            draft = convert.draft_from_pb(request.draft, answering=answered)
            entry = await self._orders.submit(Send(draft=draft, answering=answered, trace=_trace()))
        return handoff_pb2.AnswerResponse(handoff=await self._sent(entry))

    async def Accept(self, request: handoff_pb2.AcceptRequest, context: Context) -> handoff_pb2.AcceptResponse:
        return handoff_pb2.AcceptResponse(handoff=await self._decide(request.eid, "accepted"))

    async def Return(self, request: handoff_pb2.ReturnRequest, context: Context) -> handoff_pb2.ReturnResponse:
        defects = convert.defects_from_pb(request.defects)
        order = Decide(eid=eid(request.eid), verdict="returned", defects=defects)
        return handoff_pb2.ReturnResponse(handoff=await self._with_facts(await self._orders.submit(order)))

    async def Withdraw(self, request: handoff_pb2.WithdrawRequest, context: Context) -> handoff_pb2.WithdrawResponse:
        wanted = eid(request.eid)
        entry = (await self._database.read(lambda tx: store.handoffs(tx, [wanted], box="out"))).get(wanted)
        if entry is None:
            raise failure(Reason.HANDOFF_NOT_FOUND, handoff=wanted[:16])
        order = Send(draft=_withdrawal(entry, request.client_ref), trace=_trace())
        return handoff_pb2.WithdrawResponse(handoff=await self._sent(await self._orders.submit(order)))

    async def Get(self, request: handoff_pb2.GetRequest, context: Context) -> handoff_pb2.GetResponse:
        wanted = eid(request.eid)

        def get(tx: Transaction) -> tuple[Entry, list[FactRow], tuple[bytes, bytes, list[bytes]] | None]:
            found = store.handoffs(tx, [wanted], box="in") or store.handoffs(tx, [wanted], box="out")
            if wanted not in found:
                raise failure(Reason.HANDOFF_NOT_FOUND, handoff=wanted[:16])
            held = contents.read(tx, [wanted]).get(wanted) if request.with_dossier else None
            return found[wanted], store.facts(tx, [wanted])[wanted], held

        entry, facts, held = await self._database.read(get)
        response = handoff_pb2.GetResponse(handoff=convert.handoff_to_pb(entry, facts))
        if held is not None:
            manifest = canonical.decode(held[1], Manifest, limit=dossier.MAX_MANIFEST)
            response.dossier.CopyFrom(marshal.dossier_to_pb(dossier.unpack(manifest, held[2])))
        return response

    async def List(self, request: handoff_pb2.ListRequest, context: Context) -> handoff_pb2.ListResponse:
        limit = page_size(request.page_size)
        before = position(request.page_token)
        case = case_id(request.case_id) if request.case_id else ""
        state = convert.state_from_pb(request.state)

        def page(tx: Transaction) -> tuple[list[Entry], dict[str, list[FactRow]]]:
            found = store.handoffs_page(tx, before=before, limit=limit, case_id=case, state=state)
            return found, store.facts(tx, [entry.eid for entry in found])

        entries, facts = await self._database.read(page)
        token = str(entries[-1].seq) if len(entries) == limit else ""
        views = [convert.handoff_to_pb(entry, facts[entry.eid]) for entry in entries]
        return handoff_pb2.ListResponse(handoffs=views, next_page_token=token)

    async def WatchInbox(
        self, request: handoff_pb2.WatchInboxRequest, context: Context
    ) -> AsyncIterator[handoff_pb2.WatchInboxResponse]:
        cursor = request.cursor
        while not self._bell.over:
            ringing = self._bell.next
            page = await self._database.read(partial(_events, cursor=cursor))
            if page:
                yield handoff_pb2.WatchInboxResponse(events=page)
                cursor = page[-1].cursor
            if len(page) < WATCH_PAGE:
                await ringing.wait()  # rung by every commit since before we looked
        raise failure(Reason.PEER_UNREACHABLE, peer="本节点（正在停止）")

    async def _decide(self, wanted: str, verdict: FactKind) -> handoff_pb2.Handoff:
        return await self._with_facts(await self._orders.submit(Decide(eid=eid(wanted), verdict=verdict)))

    async def _sent(self, entry: Entry) -> handoff_pb2.Handoff:
        """A handoff just sealed has no facts yet; one named again by its client_ref may have."""
        if entry.state is State.SENT:
            return convert.handoff_to_pb(entry, [])
        return await self._with_facts(entry)

    async def _with_facts(self, entry: Entry) -> handoff_pb2.Handoff:
        facts = await self._database.read(lambda tx: store.facts(tx, [entry.eid]))
        return convert.handoff_to_pb(entry, facts[entry.eid])


class CaseServicer(case_pb2_grpc.CaseServiceServicer):
    """CaseService."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def GetCase(self, request: case_pb2.GetCaseRequest, context: Context) -> case_pb2.GetCaseResponse:
        wanted = case_id(request.case_id)
        rows, counts = await self._database.read(
            lambda tx: (store.cases(tx, [wanted]), store.case_handoff_counts(tx, [wanted]))
        )
        if wanted not in rows:
            raise failure(Reason.CASE_NOT_FOUND, case=wanted)
        return case_pb2.GetCaseResponse(case=convert.case_to_pb(rows[wanted], handoffs=counts.get(wanted, 0)))

    async def ListCases(self, request: case_pb2.ListCasesRequest, context: Context) -> case_pb2.ListCasesResponse:
        limit = page_size(request.page_size)
        at, _, last = request.page_token.partition("-")
        before = (position(at), last)

        def page(tx: Transaction) -> tuple[list[CaseRow], dict[str, int]]:
            found = store.cases_page(tx, before=before, limit=limit)
            return found, store.case_handoff_counts(tx, [row.case_id for row in found])

        rows, counts = await self._database.read(page)
        token = f"{rows[-1].opened_at}-{rows[-1].case_id}" if len(rows) == limit else ""
        cases = [convert.case_to_pb(row, handoffs=counts.get(row.case_id, 0)) for row in rows]
        return case_pb2.ListCasesResponse(cases=cases, next_page_token=token)


def _events(tx: Transaction, *, cursor: int) -> list[handoff_pb2.InboxEvent]:
    events = store.events_after(tx, cursor, limit=WATCH_PAGE)
    facts = store.facts(tx, {entry.eid for _, entry in events})
    return [
        handoff_pb2.InboxEvent(cursor=number, handoff=convert.handoff_to_pb(entry, facts[entry.eid]))
        for number, entry in events
    ]


def position(token: str) -> int:
    """Where a page goes on; everything for an empty token. Errors: FIELD_INVALID for one we have not given."""
    if not token:
        return _LAST
    if not (token.isascii() and token.isdecimal() and len(token) <= 18):
        raise failure(Reason.FIELD_INVALID, field="page_token", detail="不是上一页返回的标记")
    return int(token)


def page_size(wanted: int) -> int:
    """1 to 200; 0 means 50. Errors: FIELD_INVALID."""
    if wanted > MAX_PAGE:
        raise failure(Reason.FIELD_INVALID, field="page_size", detail=f"最多 {MAX_PAGE}")
    return wanted or DEFAULT_PAGE


def _trace() -> str:
    return inject().get("traceparent", "")


def _withdrawal(entry: Entry, client_ref: str) -> Draft:
    reference = canonical.text(client_ref, field="client_ref", limit=128).strip()
    if not reference:
        raise failure(Reason.FIELD_INVALID, field="client_ref", detail="缺少发文文号")
    content = Dossier(document=Document(title="撤回通知", number=reference, date=""))
    return Draft(
        client_ref=reference,
        kind=WITHDRAWAL,
        case_id=case_id(entry.case_id),
        sender=office(entry.from_agency, entry.from_office),
        receiver=office(entry.to_agency, entry.to_office),
        outcome="",
        acts=(),
        internal=False,
        packed=dossier.pack(content, salt=dossier.new_salt()),
        numbers=CaseNumbers(),
        re=(entry.eid,),
        digest=f"withdraw {entry.eid}",
    )
