from __future__ import annotations

from pathlib import Path

import pytest

from rushes_cli.commands.delete_data import delete_data
from rushes_cli.data_folder import DataFolder
from rushes_cli.errors import CommandError


def _used(path: Path) -> DataFolder:
    folder = DataFolder(path)
    folder.prepare()
    with folder.lock():
        (path / "s3").mkdir()
        (path / "s3" / "clip.mp4").write_bytes(b"paid for")
    return folder


def _never(question: str) -> bool:
    raise AssertionError(question)


async def test_the_folder_is_deleted_when_the_person_confirms(tmp_path: Path) -> None:
    folder = _used(tmp_path / "data")
    assert await delete_data(folder, lambda _: False) == 1
    assert (folder.path / "s3" / "clip.mp4").exists()
    questions: list[str] = []
    assert await delete_data(folder, lambda question: questions.append(question) is None) == 0
    assert str(folder.path) in questions[0]
    assert not folder.path.exists()
    assert await delete_data(folder, _never) == 0


async def test_not_while_a_stack_runs(tmp_path: Path) -> None:
    folder = _used(tmp_path / "data")
    with folder.lock(), pytest.raises(CommandError, match="already runs"):
        await delete_data(DataFolder(folder.path), _never)
    assert (folder.path / "s3" / "clip.mp4").exists()


async def test_no_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    with pytest.raises(CommandError, match="is no data folder"):
        await delete_data(DataFolder(tmp_path), _never)
    assert (tmp_path / "letters").exists()
