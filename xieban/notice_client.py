"""The way in for notices and supervisions: an agency's own notices at its node, and the committee's supervisions at the gateway.

As in `xieban.calling`: errors are the one tree, every call has a deadline, and what is repeated by itself cannot do anything twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing

import grpc
import grpc.aio

from xieban import notice_views as v
from xieban.calling import Caller, Page, Profile
from xieban.supervision import Act, Cause, Dropped, Measure, State
from xieban.wire.v1 import notice_pb2, notice_pb2_grpc, supervision_pb2, supervision_pb2_grpc

__all__ = ["NoticeClient", "SupervisionClient"]


class NoticeClient(Caller):
    """An agency's own node: what it was told of its limits, and its replies about supervisions."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = notice_pb2_grpc.NoticeServiceStub(channel)

    async def list(
        self, page: Page | None = None, *, case_id: str = "", supervisions_only: bool = False
    ) -> tuple[tuple[v.NoticeView, ...], str]:
        """Newest first, with the token of the next page (empty at the end)."""
        answer = await self._page(page, case_id, supervisions_only)
        return tuple(v.notice_from_pb(row) for row in answer.notices), answer.next_page_token

    async def matters(self, page: Page | None = None) -> tuple[tuple[v.MatterView, ...], str]:
        """Where each supervision stands that the notices of a page are about; the newest notice first."""
        answer = await self._page(page, "", supervisions_only=True)
        return tuple(v.matter_from_pb(row) for row in answer.matters), answer.next_page_token

    async def get(self, notice: str) -> tuple[v.NoticeView, v.MatterView | None]:
        """A notice by eid, or the newest one of a supervision by its number; and the supervision. Errors: NOTICE_NOT_FOUND."""
        answer = await self._call(self._stub.GetNotice, notice_pb2.GetNoticeRequest(notice=notice), repeatable=True)
        matter = v.matter_from_pb(answer.matter) if answer.HasField("matter") else None
        return v.notice_from_pb(answer.notice), matter

    async def acknowledge(self, supervision: str, *, by: str) -> v.MatterView:
        """签收. Errors: SUPERVISION_NOT_FOUND, SUPERVISION_STATE, FIELD_INVALID."""
        request = notice_pb2.AcknowledgeNoticeRequest(supervision_id=supervision, by=by)
        answer = await self._call(self._stub.AcknowledgeNotice, request, repeatable=True)
        return v.matter_from_pb(answer.matter)

    async def explain(
        self, supervision: str, *, by: str, cause: Cause, measures: Sequence[Measure], expected: str, text: str
    ) -> v.MatterView:
        """说明. `expected` is an ISO date. Errors: as for `acknowledge`; SECRET_MARK, TEXT_FORBIDDEN."""
        request = notice_pb2.ExplainNoticeRequest(
            supervision_id=supervision,
            by=by,
            cause=v.CAUSES[cause],
            measures=[v.MEASURES[measure] for measure in measures],
            expected_date=expected,
            text=text,
        )
        answer = await self._call(self._stub.ExplainNotice, request, repeatable=True)
        return v.matter_from_pb(answer.matter)

    async def watch(self, cursor: int = 0) -> AsyncGenerator[v.NoticeView, None]:
        """Every notice after `cursor`, then every one that comes, for ever; goes on where it was when the node comes back."""

        def behind() -> AsyncIterable[notice_pb2.WatchNoticesResponse]:
            return self._stub.WatchNotices(notice_pb2.WatchNoticesRequest(cursor=cursor))

        async with aclosing(self._watch(behind)) as pages:
            async for page in pages:
                for row in page.notices:
                    cursor = row.cursor
                    yield v.notice_from_pb(row)

    async def _page(self, page: Page | None, case_id: str, supervisions_only: bool) -> notice_pb2.ListNoticesResponse:
        at = page or Page()
        request = notice_pb2.ListNoticesRequest(
            page_size=at.size, page_token=at.token, case_id=case_id, supervisions_only=supervisions_only
        )
        return await self._call(self._stub.ListNotices, request, repeatable=True)


class SupervisionClient(Caller):
    """The committee's supervisions. `by` is always the number of the officer who orders; repeating an order changes nothing."""

    def __init__(self, profile: Profile, channel: grpc.aio.Channel) -> None:
        super().__init__(profile, channel)
        self._stub = supervision_pb2_grpc.SupervisionServiceStub(channel)

    async def list(
        self, page: Page | None = None, *, state: State | None = None, case_id: str = ""
    ) -> tuple[tuple[v.SupervisionView, ...], str]:
        """Those that wait for somebody first, the worst of them first, with the token of the next page."""
        at = page or Page()
        request = supervision_pb2.ListSupervisionsRequest(
            state=v.STATES[state] if state is not None else notice_pb2.SUPERVISION_STATE_UNSPECIFIED,
            case_id=case_id, page_size=at.size, page_token=at.token,
        )  # fmt: skip
        answer = await self._call(self._stub.ListSupervisions, request, repeatable=True)
        return tuple(v.supervision_from_pb(row) for row in answer.supervisions), answer.next_page_token

    async def get(self, supervision: str) -> v.SupervisionView:
        """With its steps and the derivation of its limit. Errors: SUPERVISION_NOT_FOUND."""
        request = supervision_pb2.GetSupervisionRequest(supervision_id=supervision)
        answer = await self._call(self._stub.GetSupervision, request, repeatable=True)
        return v.supervision_from_pb(answer.supervision)

    async def issue(self, supervision: str, *, by: str, remark: str = "", days: int = 0) -> v.SupervisionView:
        """发出. `days`: working days for the reply, 0 the configured term. Errors: SUPERVISION_STATE, SUPERVISION_LIFTED, 1xxx."""
        request = supervision_pb2.IssueSupervisionRequest(
            supervision_id=supervision, by=by, remark=remark, reply_days=days
        )
        answer = await self._call(self._stub.IssueSupervision, request, repeatable=True)
        return v.supervision_from_pb(answer.supervision)

    async def discard(self, supervision: str, *, by: str, reason: Dropped, remark: str = "") -> v.SupervisionView:
        """不予发出. Errors: DISCARD_UNFOUNDED, SUPERVISION_STATE."""
        request = supervision_pb2.DiscardSupervisionRequest(
            supervision_id=supervision, by=by, reason=v.DROPPED[reason], remark=remark
        )
        answer = await self._call(self._stub.DiscardSupervision, request, repeatable=True)
        return v.supervision_from_pb(answer.supervision)

    async def review(
        self, supervision: str, verdict: Act, *, by: str, remark: str = "", days: int = 0
    ) -> v.SupervisionView:
        """`verdict` is close, return (which needs a remark) or escalate. Errors: SUPERVISION_STATE, ESCALATION_EXHAUSTED, 1xxx."""
        request = supervision_pb2.ReviewReplyRequest(
            supervision_id=supervision, by=by, verdict=v.VERDICTS[verdict], remark=remark, reply_days=days
        )
        answer = await self._call(self._stub.ReviewReply, request, repeatable=True)
        return v.supervision_from_pb(answer.supervision)
