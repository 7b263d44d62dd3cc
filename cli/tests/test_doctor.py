"""What doctor finds on a running stack: services that are not ready, and a backlog of events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rushes_cli.commands.doctor import Finding, stack_findings
from rushes_cli.data_folder import DataFolder, ProcessState, StackState
from servicekit.embedded.process import free_port
from servicekit.testing import tcp_server


@asynccontextmanager
async def _findings(tmp_path: Path, pages: dict[str, tuple[int, str]]) -> AsyncIterator[dict[str, Finding]]:
    """The findings on a stack of one catalog that answers these pages."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        status, text = pages[path]
        head = f"HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
        writer.write((head + text).encode())
        await writer.drain()

    folder = DataFolder(tmp_path)
    folder.prepare()
    health = f"127.0.0.1:{free_port()}"
    async with tcp_server(answer) as port:
        catalog = ProcessState("catalog", 1, health, health, metrics=f"http://127.0.0.1:{port}/metrics")
        with folder.lock():
            folder.write_state(StackState(os.getpid(), "http://127.0.0.1:1", "c0de", "sandbox", [catalog]))
            yield {each.subject: each for each in await stack_findings(folder)}


def _metrics(waiting: int, oldest: float) -> str:
    return (
        "# HELP rushes_outbox_waiting Events that are due and not published yet\n"
        "# TYPE rushes_outbox_waiting gauge\n"
        f"rushes_outbox_waiting {float(waiting)}\n"
        f"rushes_outbox_oldest_seconds {oldest}\n"
    )


async def test_a_service_that_is_not_ready_is_wrong_and_has_its_reason(tmp_path: Path) -> None:
    reason = "the event log stores nothing in RUSHES since a write failed"
    pages = {"/readyz": (503, reason), "/metrics": (200, "")}
    async with _findings(tmp_path, pages) as findings:
        assert not findings["catalog"].ok
        assert reason in findings["catalog"].message
        assert "backlog" not in findings


@pytest.mark.parametrize(
    ("waiting", "oldest", "ok", "words"),
    [(3, 0.2, True, "3 events of catalog"), (240, 300.0, False, "the oldest for 300 s")],
)
async def test_a_backlog_is_named_and_an_old_one_is_wrong(
    tmp_path: Path, waiting: int, oldest: float, ok: bool, words: str
) -> None:
    pages = {"/readyz": (200, "ready"), "/metrics": (200, _metrics(waiting, oldest))}
    async with _findings(tmp_path, pages) as findings:
        assert findings["backlog"].ok is ok
        assert words in findings["backlog"].message
        assert "catalog.log" in findings["backlog"].way_out


async def test_no_backlog_is_not_shown(tmp_path: Path) -> None:
    pages = {"/readyz": (200, "ready"), "/metrics": (200, _metrics(0, 0.0))}
    async with _findings(tmp_path, pages) as findings:
        assert "backlog" not in findings
