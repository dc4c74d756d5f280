from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis import telemetry

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"


@pytest.fixture
def lines() -> Iterator[Any]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    telemetry.configure_logging(service="court", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level = handlers, level


def test_a_trace_goes_on_across_a_hop() -> None:
    assert telemetry.inject() == {}
    with telemetry.continued({"traceparent": PARENT}):
        assert telemetry.inject() == {"traceparent": PARENT}
        assert telemetry.trace_id() == "0af7651916cd43dd8448eb211c80319c"
    assert telemetry.inject() == {}


@pytest.mark.parametrize(
    "header", ["", "nonsense", PARENT[:-2], PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)]
)
def test_a_malformed_trace_is_ignored(header: str) -> None:
    with telemetry.continued({"traceparent": header}):
        assert telemetry.inject() == {}


def test_a_log_line_shows_only_what_the_allow_list_names(lines: Any) -> None:
    logging.getLogger("services.x").info("received", extra={"handoff": "H1", "suspect": "张三", "count": 3})
    (line,) = lines()
    assert (line["event"], line["handoff"], line["count"], line["service"]) == ("received", "H1", 3, "court")
    assert "张三" not in json.dumps(line, ensure_ascii=False)


def test_a_name_in_an_argument_or_an_exception_is_not_printed(lines: Any) -> None:
    log = logging.getLogger("services.x")
    log.warning("bad %s and %s", "张三", "ValueError")
    try:
        raise KeyError("张三") from ValueError("李四")
    except KeyError:
        log.exception("failed")
    text = json.dumps(lines(), ensure_ascii=False)
    assert "张三" not in text
    assert "李四" not in text
    assert lines()[0]["event"] == "bad … and ValueError"
    assert lines()[1]["error"]["type"] == "KeyError"
    assert lines()[1]["error"]["cause"]["type"] == "ValueError"
    assert "test_telemetry.py" in lines()[1]["error"]["at"][-1]


def test_a_log_line_inside_a_trace_names_it(lines: Any) -> None:
    with telemetry.continued({"traceparent": PARENT}):
        logging.getLogger("services.x").info("received")
    assert lines()[0]["trace"] == "0af7651916cd43dd8448eb211c80319c"


async def test_the_file_exporter_writes_spans_and_off_imports_no_sdk(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from services.chassis import telemetry\n"
        "telemetry.configure(service='court', settings=telemetry.Telemetry())()\n"
        "assert not telemetry.enabled() and 'opentelemetry.sdk.trace' not in sys.modules\n"
        "end = telemetry.configure(service='court', settings=telemetry.Telemetry('file', file=pathlib.Path(sys.argv[1])))\n"
        "with telemetry.span('send', {'traceparent': sys.argv[2]}):\n"
        "    telemetry.meter('x').create_counter('sent').add(1)\n"
        "end()\n"
        "assert 'opentelemetry.exporter' not in sys.modules\n"
    )
    file = tmp_path / "spans.jsonl"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(file), PARENT)
    assert await process.wait() == 0
    written = [json.loads(line) for line in file.read_text().splitlines()]
    (span,) = [item for item in written if item.get("name") == "send"]
    assert span["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"
    assert any("resource_metrics" in item for item in written)
