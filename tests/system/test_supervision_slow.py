"""Supervision through real processes that are killed with SIGKILL at their fault points and started again by the stack."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.provision import provision
from services.stack import processes
from services.stack.processes import Stack, free_ports
from tests.system.rig import persist
from tests.system.test_supervision import OFFICER, OVERDUE_AT, PROSECUTOR, until
from tests.world import DIVISION, START, sample_dossier
from xieban.agency import Agency, office
from xieban.client import XiebanClient
from xieban.notice import Occasion
from xieban.notice_client import NoticeClient, SupervisionClient
from xieban.sandbox_client import SandboxCity
from xieban.supervision import Act, Cause, Measure, State
from xieban.views import ActView, Draft

pytestmark = pytest.mark.slow
CASE = "A6201020000002026030001"


@pytest.mark.parametrize("fault", ["G1:5", "G2:5", "R1:3", "R2:3", "S1:2", "S2:2"])
async def test_a_supervision_comes_to_its_end_once_whichever_process_is_killed_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(processes, "RESTART_PAUSES", (0.3,))
    monkeypatch.setenv("XIEBAN_FAULT", fault)
    now = datetime.now(UTC)  # noqa: TID251 (certificates)
    home = provision(tmp_path / "city", now=now, ports=free_ports(), sandbox_start=START)
    stack = Stack(home, tell=lambda text: None)
    async with stack.running():
        async with (
            XiebanClient.open(home.client("police")) as police,
            NoticeClient.open(home.client("procuratorate")) as procuratorate,
            SupervisionClient.open(home.client("committee")) as committee,
            SandboxCity.open(home.client("sandbox")) as clocks,
        ):
            draft = Draft(
                client_ref="文〔2026〕1号", kind="arrest_request", case_id=CASE,
                sender=office(Agency.POLICE, DIVISION), receiver=office(Agency.PROCURATORATE, DIVISION),
                acts=(ActView("detained", START, "P1"),), dossier=sample_dossier(),
            )  # fmt: skip
            await persist(lambda: police.send(draft))
            await persist(lambda: clocks.settle(patience=30))
            await persist(lambda: clocks.move(OVERDUE_AT))
            (found,) = (
                await until(lambda: persist(lambda: committee.list(case_id=CASE)), lambda got: len(got[0]) == 1)
            )[0]
            id = found.supervision_id
            await persist(lambda: committee.issue(id, by=OFFICER))
            await cut_power(stack, "gateway")
            await until(
                lambda: persist(lambda: procuratorate.list(supervisions_only=True)), lambda got: len(got[0]) == 1
            )
            await persist(lambda: procuratorate.acknowledge(id, by=PROSECUTOR))
            await cut_power(stack, "procuratorate")
            await persist(
                lambda: procuratorate.explain(
                    id,
                    by=PROSECUTOR,
                    cause=Cause.WORKLOAD,
                    measures=[Measure.DONE],
                    expected="2026-03-12",
                    text="已办结",
                )
            )
            await until(lambda: persist(lambda: committee.get(id)), lambda got: got.state is State.EXPLAINED)
            await persist(lambda: committee.review(id, Act.CLOSE, by=OFFICER))
            assert await persist(lambda: clocks.settle(patience=45)) == {}
            told, _ = await persist(procuratorate.list)
            whole = await persist(lambda: committee.get(id))
    assert [step.act for step in whole.steps] == [Act.DRAFT, Act.ISSUE, Act.ACKNOWLEDGE, Act.EXPLAIN, Act.CLOSE]
    # A node that died with a notice in its hands gets it again behind later ones: what counts is that each is there, once.
    limits = sorted(
        (n for n in told if n.rule == "arrest_review_custody"),
        key=lambda n: (n.sent_at, n.demand.step if n.demand else 0),
    )
    assert [(n.occasion, n.rung) for n in limits] == [
        (Occasion.WARNING, "d7"), (Occasion.WARNING, "d3"), (Occasion.WARNING, "d1"), (Occasion.OVERDUE, ""),
        (Occasion.ISSUED, ""), (Occasion.CLOSED, ""),
    ]  # fmt: skip


async def cut_power(stack: Stack, name: str) -> None:
    """For one process; the stack starts it again, and its fault point is armed anew."""
    while name not in stack.pids:
        await asyncio.sleep(0.02)
    with suppress(ProcessLookupError):
        os.kill(stack.pids[name], signal.SIGKILL)
