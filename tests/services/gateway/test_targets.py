"""Service targets are an office's own aim: shown, never logged, never called a statutory limit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.chassis.config import read
from services.gateway.app import GatewayConfig, _ladder, _targets
from services.gateway.targets import Target, aims
from services.gateway.web.app import pages
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import at
from xieban.agency import city
from xieban.errors import InvalidInput

POLICE, PP, CASE = "police", "procuratorate", "A6201"
AT_ONCE = Target(
    name="立即执行逮捕", article="刑诉90", after="arrest_decision", outcome="approved",
    until=("arrest_execution_receipt",), hours=24,
)  # fmt: skip
WHOLE = {
    "city": "lanzhou", "listen": "127.0.0.1:0", "page": "127.0.0.1:0", "nats": "nats://127.0.0.1:1", "database": "data.db",
    "nats_key": "nats.seed", "trust": {"file": "trust.json", "roots": ["00" * 32]}, "seal_key": "seal.key",
    "log_key": "log.key", "witnesses": {}, "tls": {"ca": "a", "certificate": "b", "key": "c"},
}  # fmt: skip


async def _decided(gateway: Gateway, *, executed: str = "") -> None:
    script = gateway.script
    eid = script.send(CASE, "arrest_decision", PP, POLICE, "2026-01-09 16:00", outcome="approved")
    script.receipt(POLICE, PP, [(eid, "delivered", "2026-01-09 16:05")])
    if executed:
        script.send(
            CASE, "arrest_execution_receipt", POLICE, PP, executed,
            outcome="executed", re=[eid], acts=[("arrested", executed)],
        )  # fmt: skip
    await gateway.take()


@pytest.mark.parametrize(("executed", "kept"), [("", None), ("2026-01-10 09:00", at("2026-01-10 09:00"))])
async def test_a_target_runs_from_delivery_to_the_answer_of_the_receiver(
    gateway: Gateway, executed: str, kept: int | None
) -> None:
    await _decided(gateway, executed=executed)
    timeline = await gateway.reading.timeline(CASE)
    (aim,) = aims([AT_ONCE], timeline.handoffs, timeline.facts)
    assert (aim.started_at, aim.aim_at, aim.kept_at) == (at("2026-01-09 16:05"), at("2026-01-10 16:05"), kept)
    assert aims([], timeline.handoffs, timeline.facts) == ()


async def test_a_missed_target_is_shown_by_its_own_name_and_recorded_nowhere(gateway: Gateway) -> None:
    await _decided(gateway)
    gateway.now_is("2026-01-20 09:00")
    await gateway.watch.round()
    app = pages(
        gateway.reading,
        gateway.supervisions,
        look=gateway.lookups.timeline,
        city=city("lanzhou"),
        clock=gateway.clock,
        sandbox=True,
        targets=[AT_ONCE],
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        html = (await client.get(f"/cases/{CASE}?purpose=routine")).text
    (section,) = re.findall(r'<section [^>]*"aims">.*?</section>', html, re.DOTALL)
    assert "立即执行逮捕" in section
    assert "不是法定期限" in section
    assert "待办，晚于目标" in section
    assert "超期" not in section
    assert not {"OVERDUE", "CLOCK_WARN", "VIOLATION"} & set(await gateway.kinds())


def test_targets_and_warnings_are_off_unless_configured_and_checked_when_they_are() -> None:
    plain = read(dict(WHOLE), GatewayConfig, file=Path("gateway.toml"))
    assert (_targets(plain), _ladder(plain).days, plain.calendar) == ((), {}, None)
    row = {
        "name": "立即执行逮捕",
        "article": "刑诉90",
        "after": "arrest_decision",
        "until": ["arrest_execution_receipt"],
        "hours": 24,
    }
    given = {**WHOLE, "targets": [row], "warnings": {"first_instance": [30, 10]}, "calendar": "2027.toml"}
    config = read(given, GatewayConfig, file=Path("/etc/gateway.toml"))
    assert _targets(config)[0].hours == 24
    assert _ladder(config).days == {"first_instance": (30, 10)}
    assert config.calendar == Path("/etc/2027.toml")
    bad_rows: tuple[dict[str, Any], ...] = (
        {"targets": [{**row, "after": "nothing"}]},
        {"warnings": {"nothing": [1]}},
        {"warnings": {"first_instance": []}},
    )
    for wrong in bad_rows:
        config = read({**WHOLE, **wrong}, GatewayConfig, file=Path("gateway.toml"))
        with pytest.raises(InvalidInput, match="XB-5003"):
            (_targets if "targets" in wrong else _ladder)(config)
