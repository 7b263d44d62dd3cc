"""Errors of the command: one clear sentence, an exit code, and nothing half-written."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from rushes_cli.main import app
from tests.e2e.conftest import RunRushes

pytestmark = pytest.mark.e2e


def _photo(path: Path, size: tuple[int, int] = (1200, 800)) -> Path:
    Image.effect_noise(size, 60).convert("RGB").save(path, quality=80)
    return path


async def test_a_folder_without_photos(rushes: RunRushes, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photos here")
    finished = await rushes("demo", str(tmp_path))
    assert finished.exit_code == 2
    assert "has no photos" in finished.output
    assert not (tmp_path / "data").exists(), "nothing is started for nothing"


async def test_no_folder(rushes: RunRushes, tmp_path: Path) -> None:
    finished = await rushes("demo", str(tmp_path / "nowhere"))
    assert finished.exit_code == 2
    assert "There is no folder" in finished.output


async def test_files_that_are_no_photos(rushes: RunRushes, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "house.jpg").write_text("this is text" * 400)
    whole = _photo(tmp_path / "whole.jpg").read_bytes()
    (folder / "cut-off.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (10_000, 6_000), "white").save(folder / "huge.png")
    try:
        finished = await rushes("demo", str(folder), within=120.0)
        assert finished.exit_code == 2, finished.output
        for name, reason in (
            ("house.jpg", "none of the kinds"),
            ("cut-off.jpg", "truncated"),
            ("huge.png", "megapixel"),
        ):
            line = next(line for line in finished.output.splitlines() if name in line)
            assert reason in line, line
        assert "None of the 3 files" in finished.output
        assert not (tmp_path / "data" / "rushes-demo.mp4").exists()
        listed = await rushes("jobs")
        assert "No jobs yet" in listed.output
    finally:
        await rushes("down")


async def test_a_port_in_use(rushes: RunRushes) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finished = await rushes("up", "--port", str(port))
    assert finished.exit_code == 2
    assert f"Port {port} of 127.0.0.1 is not free" in finished.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
async def test_a_data_folder_that_cannot_be_made(rushes: RunRushes) -> None:
    finished = await rushes("up", "--data", "/dev/full/rushes")
    assert finished.exit_code == 2
    assert "cannot be written" in finished.output


async def test_a_dead_store(rushes: RunRushes, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        finished = await rushes(
            "up", env={"BLOB_ENDPOINT": endpoint, "BLOB_ACCESS_KEY": "a", "BLOB_SECRET_KEY": "b"}
        )
    assert finished.exit_code == 1, finished.output
    assert endpoint in finished.output
    assert "Traceback" not in finished.output
    assert not (tmp_path / "data" / "stack.json").exists()


async def test_help_names_every_command(rushes: RunRushes) -> None:
    finished = await rushes("--help")
    assert finished.exit_code == 0
    commands = get_command(app).list_commands(None)  # type: ignore[attr-defined, arg-type]
    assert {"up", "down", "demo", "jobs", "events", "storage", "doctor"} <= set(commands)
    for command in commands:
        assert f" {command} " in finished.output, command


async def test_doctor_finds_nothing_wrong(rushes: RunRushes) -> None:
    finished = await rushes(
        "doctor", env={k: v for k, v in os.environ.items() if not k.startswith("REPLICATE")}
    )
    assert finished.exit_code == 0, finished.output
    assert "WRONG" not in finished.output
