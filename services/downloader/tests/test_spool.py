"""A spool file holds what was appended, whichever way it goes to the disk."""

from __future__ import annotations

import fcntl
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.adapters.fetching import spool
from downloader.adapters.fetching.spool import SpooledFile

FROM, WINDOW = 64 * 1024, 16 * 1024
"""Like the real ones, smaller."""


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    monkeypatch.setattr(spool, "DIRECT_FROM", FROM)
    monkeypatch.setattr(spool, "WINDOW", WINDOW)


def blocks(sizes: list[int]) -> list[bytes]:
    return [random.Random(size).randbytes(size) for size in sizes]


def flags(file: SpooledFile) -> int:
    return fcntl.fcntl(file._file, fcntl.F_GETFL)


@given(
    before=st.lists(st.integers(1, 3 * WINDOW), max_size=12),
    flushed=st.booleans(),
    after=st.lists(st.integers(1, 3 * WINDOW), max_size=12),
)
def test_it_holds_what_was_appended(tmp_path_factory, before, flushed, after) -> None:
    file = SpooledFile(tmp_path_factory.mktemp("spool") / "file")
    for block in blocks(before):
        file.append(block)
    if flushed:  # and goes on: an answer that was resumed
        file.flush()
        assert file.path.read_bytes() == b"".join(blocks(before))
    for block in blocks(after):
        file.append(block)
    file.flush()
    assert file.path.read_bytes() == b"".join(blocks(before + after))
    file.clear()
    assert file.path.read_bytes() == b""
    file.append(b"anew")
    file.flush()
    assert file.path.read_bytes() == b"anew"
    file.remove()


def test_only_what_is_large_goes_past_the_cache(tmp_path) -> None:
    file = SpooledFile(tmp_path / "file")
    file.append(bytes(FROM))
    assert not flags(file) & os.O_DIRECT
    file.append(bytes(WINDOW))
    if not flags(file) & os.O_DIRECT:
        pytest.skip(f"{tmp_path} is on a file system that has a cache only")
    file.flush()
    assert not flags(file) & os.O_DIRECT
    assert file.path.stat().st_size == FROM + WINDOW
    file.remove()


class Picky:
    """A file on a disk whose blocks are larger than ours: it takes no window as it is, or a part of it."""

    def __init__(self, file, takes: int) -> None:
        self._file = file
        self._takes = takes

    def __getattr__(self, name: str):
        return getattr(self._file, name)

    def write(self, data) -> int:
        if not fcntl.fcntl(self._file, fcntl.F_GETFL) & os.O_DIRECT:
            return self._file.write(data)
        if not self._takes:
            raise OSError(22, "Invalid argument")
        return self._file.write(memoryview(data)[: self._takes])


@pytest.mark.parametrize("takes", [0, 4096])
def test_a_disk_that_takes_no_such_writes_after_all(tmp_path, takes) -> None:
    file = SpooledFile(tmp_path / "file")
    file._file = Picky(file._file, takes)
    appended = blocks([FROM, 3 * WINDOW + 5, 2 * WINDOW, 7])
    for block in appended:
        file.append(block)
    file.flush()
    assert file.path.read_bytes() == b"".join(appended)
    file.remove()
