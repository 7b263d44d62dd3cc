"""Traces: exports spans, and carries their context in plain headers (W3C Trace Context)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from servicekit.shared_settings import ProcessSettings

FAILED = StatusCode.ERROR

_PROPAGATOR = TraceContextTextMapPropagator()


class _Tracing:
    """The process's one tracer provider: without `configure` it makes trace ids and exports nothing."""

    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)


def configure(service: str, settings: ProcessSettings) -> None:
    """Send this process's spans where the settings say; call once, before the first span.

    To a collector, OTLP over HTTP; or appended to a file, see `FileExporter`. Both, or neither, are fine.
    """
    endpoint = settings.otlp_endpoint
    path = settings.trace_file if settings.trace_file != Path() else None
    if not endpoint and not path:
        return
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: service, SERVICE_INSTANCE_ID: str(os.getpid())}),
        shutdown_on_exit=False,
    )
    if endpoint:
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    if path:
        provider.add_span_processor(SimpleSpanProcessor(FileExporter(path)))
    _Tracing.provider = provider


def shutdown() -> None:
    """Export the spans that are still buffered, and stop. The last thing a process does."""
    _Tracing.provider.shutdown()


def inject() -> dict[str, str]:
    """The current trace context as headers (`traceparent`, `tracestate`); empty outside of any span."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers


def extract(headers: Mapping[str, str]) -> Context:
    """The trace context in headers whose names are in lower case: the `parent` of a `span`."""
    return _PROPAGATOR.extract(headers, context=Context())


@contextmanager
def span(
    name: str,
    kind: str = "internal",
    *,
    parent: Context | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """A span around the block, child of the current one or of `parent`.

    Args:
        name: what is done, without ids: few names, many spans.
        kind: "internal", "server", "client", "producer" or "consumer".
        parent: a context from `extract`.
        attributes: about it; never a secret or a full address.

    An exception marks the span as failed with the exception's class; its text is left to the log.
    """
    with _tracer(_Tracing.provider).start_as_current_span(
        name,
        context=parent,
        kind=SpanKind[kind.upper()],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(FAILED)
            raise


@contextmanager
def nothing() -> Iterator[Span]:
    """In place of a `span`: the block is left out of every trace."""
    yield trace.INVALID_SPAN


@lru_cache(maxsize=2)
def _tracer(provider: TracerProvider) -> Tracer:
    """Cached: getting a tracer takes a third of the time of a span."""
    return provider.get_tracer("servicekit")


def trace_id() -> str:
    """The current trace id in hex, or "" outside of any span."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else ""


class FileExporter(SpanExporter):
    """Appends one JSON object a line to a file that several processes may share.

    Keys: name, service, instance (the process id), trace_id, span_id, parent_id ("" for a root), kind,
    start, end (Unix seconds), status, attributes. Each span is written by one system call, so lines never
    mix and a reader sees a span as soon as it has ended.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for ended in spans:
            os.write(self._file, json.dumps(_record(ended), default=str).encode() + b"\n")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file; twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _record(ended: ReadableSpan) -> dict[str, object]:
    context = ended.get_span_context()
    return {
        "name": ended.name,
        "service": ended.resource.attributes.get(SERVICE_NAME, ""),
        "instance": ended.resource.attributes.get(SERVICE_INSTANCE_ID, ""),
        "trace_id": format(context.trace_id, "032x") if context else "",
        "span_id": format(context.span_id, "016x") if context else "",
        "parent_id": format(ended.parent.span_id, "016x") if ended.parent else "",
        "kind": ended.kind.name.lower(),
        "start": (ended.start_time or 0) / 1e9,
        "end": (ended.end_time or 0) / 1e9,
        "status": ended.status.status_code.name.lower(),
        "attributes": dict(ended.attributes or {}),
    }
