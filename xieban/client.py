"""The way in for agency systems: one asynchronous client for each face of a city, over mutual TLS.

    async with XiebanClient.open(Path("clients/police")) as client:
        sent = await client.send(draft)
        async for event in client.watch(cursor):
            ...

Values are those of `xieban.views` and `xieban.oversight_views`, errors the one tree of `xieban.errors`: a reason the server raised arrives
as the same class. Deadlines and repetitions are `xieban.calling`'s. What must not go in: decisions about cases, files, terminals.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

import grpc
import grpc.aio

from xieban import marshal, oversight_views, views
from xieban.approval import OfficerKey
from xieban.calling import Caller, Page, Profile, everything
from xieban.drafting import approved
from xieban.handoff import State
from xieban.lookup import Purpose
from xieban.lookup_views import PURPOSES, LookupView, lookup_from_pb
from xieban.procedure import table
from xieban.wire.v1 import case_pb2, case_pb2_grpc, handoff_pb2, handoff_pb2_grpc, oversight_pb2, oversight_pb2_grpc

__all__ = ["OversightClient", "Page", "Profile", "XiebanClient", "everything"]

DOSSIER_DEADLINE: Final = 30.0


class XiebanClient(Caller):
    """An agency's own node: its handoffs and cases."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._officers: tuple[OfficerKey, ...] | None = None
        self._handoffs = handoff_pb2_grpc.HandoffServiceStub(channel)
        self._cases = case_pb2_grpc.CaseServiceStub(channel)

    async def send(self, draft: views.Draft) -> views.HandoffView:
        """Seal and send. When this returns the handoff is durable and will arrive; the same draft again returns the same handoff.

        A draft of a kind that officers must approve gets the approvals of those whose keys the profile holds, unless it carries its own.
        Errors: everything of the catalogue's 1xxx and 2xxx; CLIENT_REF_REUSED for other content under the same number;
        APPROVAL_MISSING, APPROVAL_INVALID.
        """
        request = handoff_pb2.SendRequest(draft=views.draft_to_pb(self._approved(draft)))
        answer = await self._call(self._handoffs.Send, request, deadline=DOSSIER_DEADLINE, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def accept(self, eid: str) -> views.HandoffView:
        """接收. Accepting again is the same acceptance. Errors: HANDOFF_NOT_FOUND, STATE_NOT_ALLOWED."""
        answer = await self._call(self._handoffs.Accept, handoff_pb2.AcceptRequest(eid=eid), repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def return_(self, eid: str, defects: Sequence[views.DefectView]) -> views.HandoffView:
        """退回补正, with at least one coded defect. Errors: HANDOFF_NOT_FOUND, STATE_NOT_ALLOWED, FIELD_INVALID."""
        request = handoff_pb2.ReturnRequest(eid=eid, defects=[views.defect_to_pb(defect) for defect in defects])
        answer = await self._call(self._handoffs.Return, request, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def answer(self, eid: str, draft: views.Draft) -> views.HandoffView:
        """Answer a handoff with another one; returns the answer. Accepts the request first if that was not done."""
        approved = self._approved(draft, answering=eid)
        request = handoff_pb2.AnswerRequest(eid=eid, draft=views.draft_to_pb(approved))
        answer = await self._call(self._handoffs.Answer, request, deadline=DOSSIER_DEADLINE, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    def _approved(self, draft: views.Draft, *, answering: str = "") -> views.Draft:
        kind = table().kinds.get(draft.kind)
        if draft.approvals or kind is None or not kind.approval:
            return draft
        if self._officers is None:
            self._officers = self.profile.officers()
        return approved(draft, self._officers, answering=answering) if self._officers else draft

    async def withdraw(self, eid: str, client_ref: str) -> views.HandoffView:
        """撤回 one's own handoff that was not yet accepted; returns the withdrawal, itself a handoff."""
        request = handoff_pb2.WithdrawRequest(eid=eid, client_ref=client_ref)
        answer = await self._call(self._handoffs.Withdraw, request, repeatable=True)
        return views.handoff_from_pb(answer.handoff)

    async def get(self, eid: str, *, with_dossier: bool = False) -> views.HandoffView:
        """Errors: HANDOFF_NOT_FOUND."""
        request = handoff_pb2.GetRequest(eid=eid, with_dossier=with_dossier)
        answer = await self._call(self._handoffs.Get, request, deadline=DOSSIER_DEADLINE, repeatable=True)
        dossier = marshal.dossier_from_pb(answer.dossier) if with_dossier and answer.HasField("dossier") else None
        return views.handoff_from_pb(answer.handoff, dossier=dossier)

    async def list(
        self, page: Page | None = None, *, case_id: str = "", state: State | None = None
    ) -> tuple[tuple[views.HandoffView, ...], str]:
        """Handoffs of both boxes, newest first, with the token of the next page (empty at the end)."""
        at = page or Page()
        request = handoff_pb2.ListRequest(
            page_size=at.size,
            page_token=at.token,
            case_id=case_id,
            state=views.state_to_pb(state) if state else handoff_pb2.HANDOFF_STATE_UNSPECIFIED,
        )
        answer = await self._call(self._handoffs.List, request, repeatable=True)
        return tuple(views.handoff_from_pb(row) for row in answer.handoffs), answer.next_page_token

    async def case_get(self, case_id: str) -> views.CaseView:
        """Errors: CASE_NOT_FOUND."""
        answer = await self._call(self._cases.GetCase, case_pb2.GetCaseRequest(case_id=case_id), repeatable=True)
        return views.case_from_pb(answer.case)

    async def case_list(self, page: Page | None = None) -> tuple[tuple[views.CaseView, ...], str]:
        """Cases this agency knows, newest first, with the token of the next page (empty at the end)."""
        at = page or Page()
        request = case_pb2.ListCasesRequest(page_size=at.size, page_token=at.token)
        answer = await self._call(self._cases.ListCases, request, repeatable=True)
        return tuple(views.case_from_pb(row) for row in answer.cases), answer.next_page_token

    async def watch(self, cursor: int = 0) -> AsyncGenerator[views.InboxEvent, None]:
        """Everything after `cursor`, then everything that happens, for ever. When the node goes away the watch goes on from the last
        event it gave, so nothing is missed and nothing comes twice. Errors other than the node's absence end it.
        """

        def behind() -> AsyncIterable[handoff_pb2.WatchInboxResponse]:
            return self._handoffs.WatchInbox(handoff_pb2.WatchInboxRequest(cursor=cursor))

        async with aclosing(self._watch(behind)) as pages:
            async for page in pages:
                for item in page.events:
                    cursor = item.cursor
                    yield views.InboxEvent(cursor=item.cursor, handoff=views.handoff_from_pb(item.handoff))


class OversightClient(Caller):
    """The gateway as the committee sees it: procedure and time, no evidence, no names."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = oversight_pb2_grpc.OversightServiceStub(channel)

    async def cases(self, page: Page | None = None) -> tuple[tuple[oversight_views.OverseenCaseView, ...], str]:
        at = page or Page()
        request = oversight_pb2.ListOverseenCasesRequest(page_size=at.size, page_token=at.token)
        answer = await self._call(self._stub.ListOverseenCases, request, repeatable=True)
        return tuple(oversight_views.overseen_case_from_pb(row) for row in answer.cases), answer.next_page_token

    async def timeline(self, case_id: str, *, purpose: Purpose, officer: str = "") -> oversight_views.TimelineView:
        """One case. Who looked (`officer`: a number, never a name) and why is logged, each time. Errors: CASE_NOT_FOUND, FIELD_INVALID."""
        request = oversight_pb2.GetTimelineRequest(case_id=case_id, purpose=PURPOSES[purpose], officer=officer)
        return oversight_views.timeline_from_pb(await self._call(self._stub.GetTimeline, request, repeatable=True))

    async def limits(
        self, page: Page | None = None, *, state: str = ""
    ) -> tuple[tuple[oversight_views.LimitView, ...], str]:
        """Limits in order of due date; `state` is running, overdue, met, late or empty for all."""
        at = page or Page()
        request = oversight_pb2.ListLimitsRequest(state=state, page_size=at.size, page_token=at.token)
        answer = await self._call(self._stub.ListLimits, request, repeatable=True)
        return tuple(oversight_views.limit_from_pb(row) for row in answer.limits), answer.next_page_token

    async def forecast(
        self,
        page: Page | None = None,
        *,
        until: datetime,
        case_id: str = "",
        purpose: Purpose | None = None,
        officer: str = "",
    ) -> tuple[tuple[oversight_views.ForecastView, ...], str]:
        """A dry run: what the passing of time alone will have recorded by `until`, in order of time. Nothing of it is recorded by asking.

        With `case_id` a look at that case, logged with its `purpose`.
        Errors: FIELD_INVALID for a time that is past, CASE_NOT_FOUND, PURPOSE_MISSING.
        """
        at = page or Page()
        request = oversight_pb2.ForecastLimitsRequest(
            until_time=views.time_to_pb(until),
            case_id=case_id,
            page_size=at.size,
            page_token=at.token,
            purpose=PURPOSES[purpose] if purpose else oversight_pb2.LOOKUP_PURPOSE_UNSPECIFIED,
            officer=officer,
        )
        answer = await self._call(self._stub.ForecastLimits, request, repeatable=True)
        return tuple(oversight_views.forecast_from_pb(row) for row in answer.entries), answer.next_page_token

    async def log(self, *, after: int = 0, size: int = 50) -> tuple[oversight_views.LogEntryView, ...]:
        """Entries of the city's log behind the one with index `after`; none at its end."""
        request = oversight_pb2.ListLogEntriesRequest(after_index=after, page_size=size)
        answer = await self._call(self._stub.ListLogEntries, request, repeatable=True)
        return tuple(oversight_views.log_entry_from_pb(row) for row in answer.entries)

    async def lookups(self, case_id: str, page: Page | None = None) -> tuple[tuple[LookupView, ...], str]:
        """Who looked at a case and why, newest first. Also for a party to the case, whose profile leads to the gateway
        (`Profile.at_gateway`). Errors: CASE_NOT_FOUND."""
        at = page or Page()
        request = oversight_pb2.ListLookupsRequest(case_id=case_id, page_size=at.size, page_token=at.token)
        answer = await self._call(self._stub.ListLookups, request, repeatable=True)
        return tuple(lookup_from_pb(row) for row in answer.lookups), answer.next_page_token

    async def summary(self) -> oversight_views.SummaryView:
        answer = await self._call(self._stub.GetSummary, oversight_pb2.GetSummaryRequest(), repeatable=True)
        return oversight_views.summary_from_pb(answer)
