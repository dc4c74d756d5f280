"""Traces, metrics and logs by configuration, off by default.

While off, the OpenTelemetry API hands out objects that do nothing, and `enabled` lets hot paths skip even those. Trace context crosses
the bus and gRPC as the W3C `traceparent` header. Exporters are imported only when chosen. Logs are JSON lines that print constant
texts, identifiers and counts: fields outside an allow-list, arguments of our own messages and texts of exceptions are never printed,
because any of them could hold a person's name; nor do spans tell more of an error than its reason. What must not go in: names of
particular metrics.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, Literal

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from services.chassis.clock import SHANGHAI
from xieban.errors import Reason, XiebanError, failure

Exporter = Literal["none", "console", "otlp", "file"]
TRACEPARENT: Final = "traceparent"
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
# Keys of `extra=` that a log line may show: codes, counts and identifiers, nothing a clerk has typed.
# fmt: off
ALLOWED: Final = frozenset({
    "agency", "bus", "bytes", "case", "cases", "city", "code", "consumer", "count", "duration_ms", "handoff", "handoffs",
    "kind", "limit", "method", "office", "peer", "port", "reason", "sequence", "service", "stage", "state", "stream",
    "subject", "trace", "version",
})
# fmt: on
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
OWN: Final = ("services", "xieban", "__main__")

_on = False
_NOTHING: Final = nullcontext()


def enabled() -> bool:
    """Whether spans go anywhere."""
    return _on


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Settings: where spans and metrics go; nowhere by default."""

    exporter: Exporter = "none"
    endpoint: str = "http://127.0.0.1:4317"
    file: Path | None = None
    sample: float = 1.0


def configure(*, service: str, settings: Telemetry) -> Callable[[], None]:
    """Set up tracing and metrics once per process; returns what to call at the end so that nothing buffered is lost."""
    global _on
    if settings.exporter == "none":
        return lambda: None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    spans, measurements = _exporters(settings.exporter, endpoint=settings.endpoint, file=settings.file)
    resource = Resource.create({SERVICE_NAME: service})
    traces = TracerProvider(
        resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.sample)), shutdown_on_exit=False
    )
    traces.add_span_processor(BatchSpanProcessor(spans))
    trace.set_tracer_provider(traces)
    readers: list[MetricReader] = [PeriodicExportingMetricReader(measurements)]
    meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    _on = True

    def shutdown() -> None:
        traces.shutdown()
        meters.shutdown()

    return shutdown


def meter(name: str) -> metrics.Meter:
    """Instruments of one module; they do nothing while telemetry is off."""
    return metrics.get_meter(name)


def span(name: str, headers: Mapping[str, str] | None = None) -> AbstractContextManager[object]:
    """A span around a block, joined to the trace that `headers` carry; nothing at all while telemetry is off."""
    if not _on:
        return _NOTHING
    return _span(name, headers or {})


@contextmanager
def _span(name: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Of what fails within, the span tells its reason or its type. Its text may hold a name or a document number, so nothing of it is
    recorded, and no traceback."""
    start = trace.get_tracer("xieban").start_as_current_span
    with continued(headers), start(name, record_exception=False, set_status_on_exception=False) as current:
        try:
            yield
        except BaseException as error:
            why = error.reason.name if isinstance(error, XiebanError) else type(error).__name__
            current.set_status(Status(StatusCode.ERROR, why))
            raise


def inject() -> dict[str, str]:
    """The current trace as headers for a message or a call; empty when there is none."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {TRACEPARENT: f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"}


def extract(headers: Mapping[str, str]) -> otel_context.Context:
    """The context that `headers` carry, for `start_as_current_span(context=…)`; the current one when they carry none.

    Read loosely, as W3C asks: unknown versions and flag bits are accepted.
    """
    match = _PARENT.fullmatch(headers.get(TRACEPARENT, ""))
    if match is None:
        return otel_context.get_current()
    span = SpanContext(
        trace_id=int(match[1], 16), span_id=int(match[2], 16), is_remote=True, trace_flags=TraceFlags(int(match[3], 16))
    )
    return trace.set_span_in_context(NonRecordingSpan(span)) if span.is_valid else otel_context.get_current()


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Everything inside belongs to the trace that `headers` carry."""
    token = otel_context.attach(extract(headers))
    try:
        yield
    finally:
        otel_context.detach(token)


def trace_id() -> str | None:
    """The current trace, as written in logs and shown to callers for a defect."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None


def configure_logging(*, service: str, level: str = "INFO", stream: IO[str] | None = None) -> None:
    """JSON lines on `stream` (stderr), replacing whatever was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("aiosqlite", "alembic", "nats", "grpc", "opentelemetry", "asyncio"):
        # aiosqlite at DEBUG prints every parameter of every statement.
        logging.getLogger(chatty).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One JSON object a line, with nothing in it that the allow-list does not name."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, SHANGHAI).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "event": _event(record),
        }
        current = trace_id()
        if current is not None:
            line["trace"] = current
        for key in sorted(ALLOWED & record.__dict__.keys()):
            value = record.__dict__[key]
            line[key] = value if isinstance(value, int | float) else str(value)[:160]
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _event(record: logging.LogRecord) -> str:
    template = str(record.msg)
    if not record.args:
        return template[:300]
    if record.name.split(".")[0] in OWN:
        # Ours: arguments are shown only if they are numbers or bare words such as a class name.
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        return template % tuple(item if _plain(item) else "…" for item in arguments)
    return record.getMessage()[:300]


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    return isinstance(value, int | float)


def _error(error: BaseException) -> dict[str, Any]:
    """Type and places, but no text: the text of a KeyError or a ValueError is somebody's data. Coded errors hold only codes."""
    described: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, XiebanError):
        described["reason"] = error.reason.name
    elif isinstance(error, OSError):
        described["errno"] = error.errno
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    described["at"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    if isinstance(error, BaseExceptionGroup):
        described["errors"] = [_error(inner) for inner in error.exceptions[:4]]
    if error.__cause__ is not None:
        described["cause"] = _error(error.__cause__)
    return described


def _exporters(exporter: Exporter, *, endpoint: str, file: Path | None) -> tuple[Any, Any]:
    if exporter == "otlp":
        # Half a second and 46 MB: only for those who asked for it.
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint), OTLPMetricExporter(endpoint=endpoint)
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    out: IO[str] = sys.stderr
    if exporter == "file":
        if file is None:
            raise failure(Reason.CONFIG_INVALID, file="telemetry", detail="exporter 为 file 时须给出 file")
        file.parent.mkdir(parents=True, exist_ok=True)
        out = file.open("a", encoding="utf-8", buffering=1)
    return (
        ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n"),
        ConsoleMetricExporter(out=out, formatter=lambda data: data.to_json(indent=None) + "\n"),
    )
