"""A child's log: kept over its deaths, put aside at our own start and when it has grown too large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.embedded import process
from servicekit.embedded.process import ServerProcess
from servicekit.testing import eventually


async def log_line(child: ServerProcess, text: str) -> None:
    child.spawn([sys.executable, "-c", f"print({text!r})"])
    await eventually(lambda: not child.is_alive)


async def test_the_log_of_the_previous_start_is_saved_and_no_older_one(tmp_path: Path) -> None:
    log, old = tmp_path / "child.log", tmp_path / "child.log.1"
    for start in ("first", "second", "third"):
        child = ServerProcess("child", log)
        await log_line(child, f"{start} start")
        await log_line(child, "again after it died")
    assert log.read_text() == "third start\nagain after it died\n"
    assert old.read_text() == "second start\nagain after it died\n"
    assert sorted(tmp_path.iterdir()) == [log, old]


async def test_a_log_that_has_grown_large_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LOG_BYTES", 100)
    child = ServerProcess("child", tmp_path / "child.log")
    await log_line(child, "x" * 200)
    await log_line(child, "fresh")
    assert (tmp_path / "child.log").read_text() == "fresh\n"


def test_the_end_of_a_log_is_read_alone(tmp_path: Path) -> None:
    child = ServerProcess("child", tmp_path / "child.log")
    assert child.tail() == ""
    child.log_path.write_text("ä" * 5000 + "end")
    assert child.tail(10) == "ä" * 7 + "end"
    assert child.tail(100_000) == "ä" * 5000 + "end"


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PORTS", range(31_000, 31_008))
    given = [process.free_port() for _ in range(4)]
    assert len(given) == len(set(given))


def test_a_reserved_port_is_given_to_no_other_process() -> None:
    port = process.free_port()
    code = f"from servicekit.embedded.process import reserve_port; print(reserve_port({port}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert process.reserve_port(port), "it is our own"
