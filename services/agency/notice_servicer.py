"""NoticeService: what an agency's own systems may ask of notices and say about supervisions. Marshalling and who may call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc.aio

from services.agency import notices
from services.agency.notices import Held, Matter
from services.agency.noticing import Word
from services.agency.servicer import page_size, position
from services.chassis.batch import Batcher
from services.chassis.bell import Bell
from services.chassis.database import Database, Transaction
from xieban.errors import Reason, XiebanError, failure
from xieban.ids import case_id, eid
from xieban.notice_views import CAUSES_FROM_PB, MEASURES_FROM_PB, STATES, notice_to_pb, reply_to_pb
from xieban.supervision import Act, supervision_id
from xieban.wire.v1 import notice_pb2, notice_pb2_grpc

NOTICE_SERVICE = "xieban.wire.v1.NoticeService"
WATCH_PAGE = 100
Context = grpc.aio.ServicerContext[Any, Any]


def add(server: grpc.aio.Server, *, database: Database, words: Batcher[Word, Matter], bell: Bell) -> str:
    """Register the service; its full name."""
    servicer = NoticeServicer(database=database, words=words, bell=bell)
    notice_pb2_grpc.add_NoticeServiceServicer_to_server(servicer, server)
    return NOTICE_SERVICE


class NoticeServicer(notice_pb2_grpc.NoticeServiceServicer):
    """NoticeService."""

    def __init__(self, *, database: Database, words: Batcher[Word, Matter], bell: Bell) -> None:
        self._database = database
        self._words = words
        self._bell = bell

    async def ListNotices(
        self, request: notice_pb2.ListNoticesRequest, context: Context
    ) -> notice_pb2.ListNoticesResponse:
        limit, before = page_size(request.page_size), position(request.page_token)
        case = case_id(request.case_id) if request.case_id else ""

        def page(tx: Transaction) -> tuple[list[Held], dict[str, Matter]]:
            found = notices.page(
                tx, before=before, limit=limit, case_id=case, supervisions_only=request.supervisions_only
            )
            named = {held.notice.demand.id for held in found if held.notice.demand is not None}
            return found, notices.matters(tx, named)

        found, matters = await self._database.read(page)
        return notice_pb2.ListNoticesResponse(
            notices=map(_held_to_pb, found),
            next_page_token=str(found[-1].seq) if len(found) == limit else "",
            matters=[_matter_to_pb(matters[name]) for name in _in_order(found) if name in matters],
        )

    async def GetNotice(self, request: notice_pb2.GetNoticeRequest, context: Context) -> notice_pb2.GetNoticeResponse:
        return await self._database.read(partial(_got, wanted=request.notice))

    async def AcknowledgeNotice(
        self, request: notice_pb2.AcknowledgeNoticeRequest, context: Context
    ) -> notice_pb2.AcknowledgeNoticeResponse:
        word = Word(supervision=request.supervision_id, act=Act.ACKNOWLEDGE, by=request.by)
        return notice_pb2.AcknowledgeNoticeResponse(matter=await self._said(word))

    async def ExplainNotice(
        self, request: notice_pb2.ExplainNoticeRequest, context: Context
    ) -> notice_pb2.ExplainNoticeResponse:
        if not all(number in MEASURES_FROM_PB for number in request.measures):
            raise failure(Reason.FIELD_INVALID, field="measures", detail="应为规定的整改措施之一")
        word = Word(
            supervision=request.supervision_id,
            act=Act.EXPLAIN,
            by=request.by,
            cause=CAUSES_FROM_PB.get(request.cause),
            measures=tuple(MEASURES_FROM_PB[number] for number in request.measures),
            expected=request.expected_date,
            text=request.text,
        )
        return notice_pb2.ExplainNoticeResponse(matter=await self._said(word))

    async def WatchNotices(
        self, request: notice_pb2.WatchNoticesRequest, context: Context
    ) -> AsyncIterator[notice_pb2.WatchNoticesResponse]:
        cursor = request.cursor
        while not self._bell.over:
            ringing = self._bell.next
            found = await self._database.read(partial(_after, cursor=cursor))
            if found:
                yield notice_pb2.WatchNoticesResponse(notices=map(_held_to_pb, found))
                cursor = found[-1].seq
            if len(found) < WATCH_PAGE:
                await ringing.wait()  # rung by every commit since before we looked
        raise failure(Reason.PEER_UNREACHABLE, peer="本节点（正在停止）")

    async def _said(self, word: Word) -> notice_pb2.SupervisedMatter:
        matter = await self._words.submit(word)
        return await self._database.read(lambda tx: _whole(tx, matter))


def _after(tx: Transaction, *, cursor: int) -> list[Held]:
    return notices.after(tx, cursor, limit=WATCH_PAGE)


def _got(tx: Transaction, *, wanted: str) -> notice_pb2.GetNoticeResponse:
    try:
        name = supervision_id(wanted)
    except XiebanError:
        name = ""
    if name:
        told = notices.of_supervision(tx, name)
        held = told[-1] if told else None
    else:
        held = notices.one(tx, eid(wanted))
    if held is None:
        raise failure(Reason.NOTICE_NOT_FOUND, notice=wanted[:16])
    demand = held.notice.demand
    matter = notices.matters(tx, [demand.id]).get(demand.id) if demand is not None else None
    return notice_pb2.GetNoticeResponse(
        notice=_held_to_pb(held), matter=_whole(tx, matter) if matter is not None else None
    )


def _in_order(found: list[Held]) -> list[str]:
    """Supervisions named by notices, each once, in their order."""
    return list(dict.fromkeys(held.notice.demand.id for held in found if held.notice.demand is not None))


def _held_to_pb(held: Held) -> notice_pb2.Notice:
    return notice_to_pb(held.notice, eid=held.eid, received_at=held.received_at, cursor=held.seq)


def _matter_to_pb(matter: Matter) -> notice_pb2.SupervisedMatter:
    return notice_pb2.SupervisedMatter(
        supervision_id=matter.supervision,
        state=STATES[matter.state],
        level=matter.level,
        whom=matter.whom,
        reply_by=matter.reply_by,
        lifted=matter.lifted,
    )


def _whole(tx: Transaction, matter: Matter) -> notice_pb2.SupervisedMatter:
    message = _matter_to_pb(matter)
    message.notices.extend(map(_held_to_pb, notices.of_supervision(tx, matter.supervision)))
    message.replies.extend(reply_to_pb(reply, eid=eid) for eid, reply in notices.replies(tx, matter.supervision))
    return message
