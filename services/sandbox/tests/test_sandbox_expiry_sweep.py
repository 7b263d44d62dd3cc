"""What has expired is removed with its bytes, and the loop survives a round that fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sandbox.adapters.sqlite_store import SqliteStore
from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.expiry_sweep import EVERY_S, sweep
from sandbox.core.predictions.ports import Upload
from servicekit.process.lifecycle import Tasks
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


def sweeping(store: SqliteStore, clock: SimulatedClock) -> Tasks:
    """As `sandbox.main` composes it."""
    sandbox_clock = SandboxClock(clock)
    return Tasks(clock=sandbox_clock).every(EVERY_S, partial(sweep, store, sandbox_clock), "expiry-sweep")


async def test_expired_uploads_go_with_their_bytes(
    store: SqliteStore, clock: SimulatedClock, tmp_path: Path
) -> None:
    old = uploaded(store, clock, tmp_path, "old", hours=24)
    fresh = uploaded(store, clock, tmp_path, "fresh", hours=25)
    sweeper = sweeping(store, clock)
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
) -> None:
    old = uploaded(store, clock, tmp_path, "old", hours=-1)
    delete = store.delete_upload
    disk_errors = [OSError(errno.ENOSPC, "No space left on device")]

    def full(upload_id: str) -> bool:
        if disk_errors:
            raise disk_errors.pop()
        return delete(upload_id)

    monkeypatch.setattr(store, "delete_upload", full)
    sweeper = sweeping(store, clock)
    with capture_logs() as logs:
        await sweeper.start()
        await clock.wait_for_sleepers()
    assert [(line["log_level"], line["task"]) for line in logs] == [("error", "expiry-sweep")]
    assert old.exists()
    clock.advance(EVERY_S)
    await eventually(lambda: not old.exists())
    await sweeper.stop()
