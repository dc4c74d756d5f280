"""Orders of the committee's officers: each is checked in form, then one transaction, then on its way to the agency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from services.chassis import faults
from services.chassis.clock import Clock
from services.chassis.database import Database, Transaction
from services.gateway.log import append
from services.gateway.supervision.desk import Desk, Order
from services.gateway.supervision.steps import LONGEST_REPLY
from xieban.errors import Reason, failure
from xieban.marshal import micros
from xieban.notice import short_text
from xieban.supervision import Act, Dropped, officer, supervision_id


class Orders:
    """Takes what an officer orders. When it returns, the step is sealed, logged and durable, and will arrive."""

    def __init__(self, database: Database, *, desk: Desk, clock: Clock, committed: Callable[[], None]) -> None:
        self._database = database
        self._desk = desk
        self._clock = clock
        self._committed = committed

    async def give(
        self, supervision: str, act: Act, *, by: str, remark: str = "", reason: Dropped | None = None, days: int = 0
    ) -> str:
        """The number of the supervision it was given to.

        Errors: FIELD_INVALID, TEXT_FORBIDDEN, SECRET_MARK in form; SUPERVISION_NOT_FOUND, SUPERVISION_STATE, SUPERVISION_LIFTED,
        DISCARD_UNFOUNDED, ESCALATION_EXHAUSTED.
        """
        order = Order(
            supervision=supervision_id(supervision), act=act, by=officer(by), remark=short_text(remark, field="remark"),
            reason=reason, days=days,
        )  # fmt: skip
        if not 0 <= days <= LONGEST_REPLY:
            raise failure(Reason.FIELD_INVALID, field="reply_days", detail=f"应为 1 至 {LONGEST_REPLY} 个工作日")
        if act is Act.RETURN and not order.remark:
            raise failure(Reason.FIELD_INVALID, field="remark", detail="退回补充的，应当写明需要补充的内容")
        if act is Act.DISCARD and reason is None:
            raise failure(Reason.FIELD_INVALID, field="reason", detail="不予发出的，应当写明理由")
        try:
            await self._database.write(partial(self._give, order=order))
        except asyncio.CancelledError:
            self._committed()  # whoever asked has gone away; what was asked is committed all the same
            raise
        faults.point("G2")
        self._committed()
        return order.supervision

    def _give(self, transaction: Transaction, *, order: Order) -> None:
        now = micros(self._clock.now())
        _, notes = self._desk.order(transaction, order, now=now)
        append(transaction, notes, at=now)
        faults.point("G1")
