"""Codes in words: stages, kinds, states and offices as the commands print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xieban.agency import NAMES, Agency
from xieban.cli.printing import table
from xieban.handoff import State
from xieban.procedure import table as procedure_table

STATES = {
    State.SENT: "已发出",
    State.DELIVERED: "已送达",
    State.COMPLETE: "案卷已核验",
    State.ACCEPTED: "已接收",
    State.RETURNED: "已退回",
    State.ANSWERED: "已答复",
    State.REJECTED: "被拒收",
    State.WITHDRAWN: "已撤回",
}
LIMITS = {"running": "计算中", "met": "已办结", "overdue": "超期", "late": "逾期办结", "lapsed": "期满"}
FACTS = {state.value: words for state, words in STATES.items()}


FIRED = {
    "CLOCK_WARN": "预警",
    "CLOCK_WARN_LIFTED": "预警解除",
    "OVERDUE": "■ 超期",
    "OVERDUE_LIFTED": "超期更正",
    "CLOCK_LAPSED": "— 期满",
}
_COLOURS = {"red": "▲ 红色", "yellow": "◆ 黄色"}


def fired(kind: str, rung: str) -> str:
    """`▲ 红色预警（3日）`, `■ 超期`: what time brought to a limit."""
    days = f"（{rung[1:]}日）" if rung.startswith("d") else ""
    return f"{_COLOURS[rung_colour(rung)] if rung else ''}{FIRED.get(kind, kind)}{days}"


def rung_colour(rung: str) -> str:
    """red or yellow; rungs are named in `oversight.proto`."""
    from xieban.notice import colour

    return colour(rung)


def node_name(agency: Agency) -> str:
    return "监督网关" if agency is Agency.GATEWAY else f"{NAMES[agency]}节点"


def stage_name(stage: str) -> str:
    found = procedure_table().stages.get(stage)
    return found.name if found is not None else stage


def kind_name(kind: str) -> str:
    found = procedure_table().kinds.get(kind)
    return found.name if found is not None else kind


def handoff_rows(handoffs: Sequence[Any]) -> None:
    """One line a handoff, in the order given."""
    table(
        ("流转", "环节", "方向", "对方", "结果", "状态", "发出时间", "案件编号"),
        [
            (
                row.eid[:12],
                kind_name(row.kind),
                "收" if row.incoming else "发",
                (row.sender if row.incoming else row.receiver).name,
                row.outcome,
                STATES[row.state],
                row.sent_at,
                row.case_id,
            )
            for row in handoffs
        ],
    )
