"""Spans: nested, carried in headers, written where tests of other processes read them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit.shared_settings import ProcessSettings
from servicekit.telemetry import traces

Spans = Callable[[], list[dict[str, object]]]


@pytest.fixture
def spans(tmp_path: Path) -> Iterator[Spans]:
    path = tmp_path / "deep" / "trace.jsonl"
    before = traces._Tracing.provider
    traces.configure("catalog", ProcessSettings(trace_file=path))
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    traces.shutdown()
    traces._Tracing.provider = before


def test_the_context_travels_in_headers(spans: Spans) -> None:
    with traces.span("send", "producer", attributes={"job_id": "job_1"}):
        headers = traces.inject()
    with traces.span("receive", "consumer", parent=traces.extract(headers)):
        pass
    sent, received = spans()
    assert received["trace_id"] == sent["trace_id"]
    assert received["parent_id"] == sent["span_id"]
    assert (sent["parent_id"], sent["kind"], sent["service"]) == ("", "producer", "catalog")
    assert sent["attributes"] == {"job_id": "job_1"}
    assert float(str(sent["end"])) >= float(str(sent["start"])) > 1.7e9


def test_a_span_is_written_as_soon_as_it_ends(spans: Spans) -> None:
    with traces.span("outer"):
        with traces.span("inner"):
            pass
        assert [span["name"] for span in spans()] == ["inner"]


def test_an_error_is_recorded_by_its_class_and_not_by_its_text(spans: Spans) -> None:
    memory = InMemorySpanExporter()
    traces._Tracing.provider.add_span_processor(SimpleSpanProcessor(memory))
    with pytest.raises(ValueError, match="hunter2"), traces.span("work"):
        raise ValueError("hunter2")
    [span] = spans()
    assert (span["status"], span["attributes"]) == ("error", {"error.type": "ValueError"})
    assert "hunter2" not in memory.get_finished_spans()[0].to_json()


def test_headers_without_a_context_start_a_new_trace(spans: Spans) -> None:
    with (
        traces.span("outer"),
        traces.span("other", parent=traces.extract({"traceparent": "rubbish"})),
    ):
        pass
    other, outer = spans()
    assert other["trace_id"] != outer["trace_id"]


def test_without_an_exporter_the_context_still_travels() -> None:
    assert traces.inject() == {}
    assert traces.trace_id() == ""
    with traces.span("work"):
        assert traces.trace_id() in traces.inject()["traceparent"]
