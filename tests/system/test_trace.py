"""One trace follows a handoff through real processes: from Send at the police, over the broker, to the receipt and the gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.provision import Home, provision
from services.stack.processes import Stack, free_ports
from tests.world import DIVISION, START, sample_dossier, until
from xieban.agency import Agency, office
from xieban.client import XiebanClient
from xieban.handoff import State
from xieban.views import ActView, Draft

PS, PP, GW = Agency.POLICE, Agency.PROCURATORATE, Agency.GATEWAY


def spans(home: Home, agency: Agency) -> list[dict[str, Any]]:
    file = home.node(agency) / "spans.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [line for line in lines if "context" in line]


def names(home: Home, agency: Agency, trace: str) -> set[str]:
    return {span["name"] for span in spans(home, agency) if span["context"]["trace_id"] == trace}


async def test_one_trace_goes_from_send_over_the_bus_to_the_receipt_and_the_gateway(tmp_path: Path) -> None:
    now = datetime.now(UTC)  # noqa: TID251 (certificates)
    home = provision(tmp_path / "city", now=now, ports=free_ports(), sandbox_start=START)
    for agency in (PS, PP, GW):
        file = home.node(agency) / "config.toml"
        settings = '\n[telemetry]\nexporter = "file"\nfile = "spans.jsonl"\n'
        file.write_text(file.read_text(encoding="utf-8") + settings, encoding="utf-8")
    draft = Draft(
        client_ref="文1号",
        kind="arrest_request",
        case_id="A6201020000002026000001",
        sender=office(PS, DIVISION),
        receiver=office(PP, DIVISION),
        dossier=sample_dossier(),
        acts=(ActView("detained", START, "P1"),),
    )
    async with Stack(home, tell=lambda text: None).running():
        async with XiebanClient.open(home.client(PS)) as police, XiebanClient.open(home.client(PP)) as procuratorate:
            sent = await police.send(draft)
            await until(procuratorate, lambda view: view.eid == sent.eid and view.state is State.COMPLETE)
            await until(police, lambda view: view.eid == sent.eid and view.state is State.COMPLETE)
    # The processes have ended, so every span is on the disk.
    sends = [span for span in spans(home, PS) if span["name"] == "handoff.send"]
    assert len(sends) == 1
    trace = sends[0]["context"]["trace_id"]
    assert "handoff.receive" in names(home, PP, trace)
    assert "receipt.receive" in names(home, PS, trace)
    assert "gateway.ingest" in names(home, GW, trace)
    for agency in (PS, PP, GW):
        text = (home.node(agency) / "spans.jsonl").read_text(encoding="utf-8")
        assert "测试某" not in text
        assert "文1号" not in text
