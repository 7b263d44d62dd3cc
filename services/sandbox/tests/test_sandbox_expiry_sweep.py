"""What has expired is removed with its bytes, and the loop survives a round that fails."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.adapters.sqlite_store import SqliteStore
from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.expiry_sweep import EVERY_S, ExpirySweeper
from sandbox.core.predictions.ports import Upload
from servicekit.testing import SimulatedClock, eventually


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path)
    yield store
    store.close()


def uploaded(store: SqliteStore, clock: SimulatedClock, folder: Path, name: str, *, hours: float) -> Path:
    path = folder / name
    path.write_bytes(b"a photo")
    now = clock.now()
    store.save_upload(
        Upload(name, name, "image/jpeg", 7, "", "", {}, now, now + timedelta(hours=hours), path)
    )
    return path


async def test_expired_uploads_go_with_their_bytes(
    store: SqliteStore, clock: SimulatedClock, tmp_path: Path
) -> None:
    old = uploaded(store, clock, tmp_path, "old", hours=24)
    fresh = uploaded(store, clock, tmp_path, "fresh", hours=25)
    sweeper = ExpirySweeper(store, SandboxClock(clock))
    await sweeper.start()
    clock.advance(24 * 3600 - 60)
    await clock.wait_for_sleepers()
    assert old.exists()
    clock.advance(60 + EVERY_S)
    await eventually(lambda: not old.exists())
    assert fresh.exists()
    assert [each.id for each in store.uploads()] == ["fresh"]
    await sweeper.stop()


async def test_a_round_that_fails_is_logged_and_the_next_one_is_tried(
    store: SqliteStore,
    clock: SimulatedClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = uploaded(store, clock, tmp_path, "old", hours=-1)
    delete = store.delete_upload
    disk_errors = [OSError(errno.ENOSPC, "No space left on device")]

    def full(upload_id: str) -> bool:
        if disk_errors:
            raise disk_errors.pop()
        return delete(upload_id)

    monkeypatch.setattr(store, "delete_upload", full)
    sweeper = ExpirySweeper(store, SandboxClock(clock))
    with caplog.at_level(logging.ERROR):
        await sweeper.start()
        await clock.wait_for_sleepers()
    assert "sweeping failed" in caplog.text
    assert old.exists()
    clock.advance(EVERY_S)
    await eventually(lambda: not old.exists())
    await sweeper.stop()
