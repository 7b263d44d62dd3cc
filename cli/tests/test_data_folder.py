from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rushes_cli.commands.up import down
from rushes_cli.data_folder import DataFolder, ProcessState, StackState, default_folder
from rushes_cli.errors import CommandError
from rushes_cli.rest_client import connect

STATE = StackState(
    os.getpid(), "http://127.0.0.1:1", "c0de", "sandbox", [ProcessState("nats", 12, "nats://x", "")]
)


def test_secrets_are_made_once_and_belong_to_their_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    key = folder.api_key
    assert key.startswith("rsh_")
    assert DataFolder(tmp_path / "data").api_key == key
    assert stat.S_IMODE((tmp_path / "data" / "api-key").stat().st_mode) == 0o600


def test_a_folder_is_locked_by_one_stack(tmp_path: Path) -> None:
    folder, other = DataFolder(tmp_path), DataFolder(tmp_path)
    folder.prepare()
    with folder.lock():
        folder.write_state(STATE)
        assert other.running_stack() == STATE
        with pytest.raises(CommandError, match=rf"already runs .*process {os.getpid()}, http"), other.lock():
            pass
    assert other.running_stack() is None


def test_a_stack_that_died_is_not_running(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    (tmp_path / "lock").touch()
    folder.write_state(STATE)
    assert folder.running_stack() is None


def test_a_stack_that_starts_is_not_taken_for_the_one_that_was_killed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    folder.write_state(replace(STATE, pid=4711))
    with folder.lock():
        assert folder.running_stack() is None
        assert folder.owner_pid() == os.getpid()
        with (
            pytest.raises(CommandError, match=rf"already runs .*process {os.getpid()}\)"),
            DataFolder(tmp_path).lock(),
        ):
            pass
        folder.write_state(
            replace(STATE, pid=4711)
        )  # whoever wrote it, it is not the one that holds the folder
        assert folder.running_stack() is None
    assert folder.owner_pid() is None


STARTING = """
import sys, time
from pathlib import Path
from rushes_cli.data_folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
folder.prepare()
with folder.lock():
    print("held", flush=True)
    time.sleep(60)
"""


async def test_down_stops_a_stack_that_is_still_starting(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTING, str(tmp_path)], stdout=subprocess.PIPE
    ) as starting:
        assert starting.stdout is not None
        assert await asyncio.to_thread(starting.stdout.readline) == b"held\n"
        with pytest.raises(CommandError, match=rf"process {starting.pid}\) is starting or stopping"):
            connect(DataFolder(tmp_path))
        assert await down(DataFolder(tmp_path)) == 0
        assert starting.wait(10) == -signal.SIGTERM


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="cannot be written"):
        DataFolder(tmp_path / "file").prepare()


def test_a_nearly_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rushes_cli.data_folder._NEEDED_BYTES", 1 << 62)
    with pytest.raises(CommandError, match="of free space") as raised:
        DataFolder(tmp_path).prepare()
    assert "another disk" in raised.value.way_out


def test_the_folder_comes_from_the_environment() -> None:
    assert default_folder({"RUSHES_DATA": "/srv/rushes"}) == Path("/srv/rushes")
    assert default_folder({}) == Path(".rushes")
