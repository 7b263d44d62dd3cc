from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rushes_cli.folder import DataFolder, ProcessState, StackState, default_folder
from rushes_cli.problems import Problem

STATE = StackState(4711, "http://127.0.0.1:1", "c0de", "sandbox", [ProcessState("nats", 12, "nats://x", "")])


def test_secrets_are_made_once_and_belong_to_their_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    key = folder.api_key
    assert key.startswith("rsh_")
    assert DataFolder(tmp_path / "data").api_key == key
    assert stat.S_IMODE((tmp_path / "data" / "api-key").stat().st_mode) == 0o600


def test_a_folder_is_held_by_one_stack(tmp_path: Path) -> None:
    folder, other = DataFolder(tmp_path), DataFolder(tmp_path)
    folder.prepare()
    with folder.held():
        folder.tell(STATE)
        assert other.running() == STATE
        with pytest.raises(Problem, match=r"already runs .*process 4711"), other.held():
            pass
    assert other.running() is None


def test_a_stack_that_died_is_not_running(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    (tmp_path / "lock").touch()
    folder.tell(STATE)
    assert folder.running() is None


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Problem, match="cannot be written"):
        DataFolder(tmp_path / "file").prepare()


def test_a_nearly_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rushes_cli.folder._NEEDED_BYTES", 1 << 62)
    with pytest.raises(Problem, match="of free space") as raised:
        DataFolder(tmp_path).prepare()
    assert "another disk" in raised.value.way_out


def test_the_folder_comes_from_the_environment() -> None:
    assert default_folder({"RUSHES_DATA": "/srv/rushes"}) == Path("/srv/rushes")
    assert default_folder({}) == Path(".rushes")
