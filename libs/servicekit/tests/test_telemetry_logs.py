"""Log lines: one object each, who and within which trace, and no secrets."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from servicekit.shared_settings import LogLevel, LogStyle, ProcessSettings
from servicekit.signing import sign
from servicekit.telemetry import logs, traces


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("catalog", ProcessSettings(), stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_names_service_logger_and_trace(out: io.StringIO) -> None:
    with traces.span("work"):
        structlog.get_logger("here").info("done", job="job_1")
        trace = traces.trace_id()
    [line] = lines(out)
    assert line.pop("timestamp")
    assert line == {
        "event": "done",
        "job": "job_1",
        "level": "info",
        "logger": "here",
        "service": "catalog",
        "trace_id": trace,
    }


def test_other_libraries_speak_the_same_way(out: io.StringIO) -> None:
    logging.getLogger("driver").warning("lost %s", "nats://user:pass@host:4222")
    [line] = lines(out)
    assert (line["event"], line["level"], line["service"]) == ("lost nats://host:4222", "warning", "catalog")


def test_secrets_stay_out_wherever_they_stand(out: io.StringIO) -> None:
    signed = sign("s", "media", datetime(2026, 5, 1, tzinfo=UTC))
    try:
        raise RuntimeError("GET https://p.example/out/a/b.mp4?sig=hunter2 with Bearer hunter2")
    except RuntimeError:
        structlog.get_logger().exception(
            "failed",
            token="hunter2",
            api_key="hunter2",
            headers={"Authorization": "hunter2", "x-api-key": "hunter2", "list": ["r8_hunter2hunter2"]},
            address="https://user:hunter2@p.example/out/hunter2",
            path=f"/media/{signed}/file",
            tokens=12,
        )
    [line] = lines(out)
    assert "hunter2" not in out.getvalue()
    assert signed not in out.getvalue()
    assert (line["token"], line["tokens"], line["address"]) == ("***", 12, "https://p.example/out/…")
    assert "RuntimeError: GET https://p.example/out/… with Bearer ***" in str(line["exception"])


@pytest.mark.parametrize(
    ("address", "short"),
    [
        ("https://replicate.delivery/pbxt/abc/out.mp4", "https://replicate.delivery/pbxt/…"),
        ("https://h/one?x=1", "https://h/one/…"),
        ("https://h/one", "https://h/one"),
        ("https://h/?x=1", "https://h/…"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:80/a/b", "http://[::1]:80/a/…"),
        ("http://h:port/a/b", "http://…"),
        ("postgresql+asyncpg://u:p@db:5432/rushes?ssl=1", "postgresql+asyncpg://db:5432/rushes"),
        ("sqlite+aiosqlite:////data/x.db", "sqlite+aiosqlite:////data/x.db"),
    ],
)
def test_addresses_are_shortened(address: str, short: str) -> None:
    assert logs.shorten_address(address) == short


def test_text_for_people_on_request() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        settings = ProcessSettings(log_style=LogStyle.TEXT, log_level=LogLevel.WARNING)
        logs.configure("catalog", settings, stream=out)
        structlog.get_logger("x").info("quiet")
        structlog.get_logger("x").warning("loud")
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before
        root.setLevel(level)
    assert "loud" in out.getvalue()
    assert "quiet" not in out.getvalue()
    assert not out.getvalue().startswith("{")
