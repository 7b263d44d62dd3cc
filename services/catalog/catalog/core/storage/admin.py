"""Storage as operators see it: what is stored, deleting it by its id, and cleaning up what is old."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from catalog.core.generations.apply import lock_generation, save_generation, save_job
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.model import Generation
from catalog.core.jobs.domain.decide import delete_cuts
from catalog.core.jobs.domain.model import Job
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.storage.domain.files import (
    CleanUpCandidate,
    DownloadCounts,
    StoredFile,
    Usage,
    UsageByKind,
    add_usage,
)
from catalog.core.unit_of_work import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.errors import Invalid
from servicekit.ids import check_id

BATCH_SIZE = 50
"""Records that are deleted in one transaction: it holds locks, on SQLite the only writer's."""

TIME_LIMIT_S = 10.0
"""Seconds after which a clean-up answers with what it has done: callers do not wait much longer."""

MAX_ANSWERED_IDS = 100

_DELETABLE_KINDS = ("generation", "media", "job")


@dataclass(frozen=True)
class StorageStats:
    by_kind: UsageByKind
    downloads: DownloadCounts
    files: Page[StoredFile]

    @property
    def total(self) -> Usage:
        return sum(self.by_kind.values(), Usage())


@dataclass(frozen=True)
class CleanUpResult:
    """What a clean-up deleted, or would delete.

    `ids`: of the first `MAX_ANSWERED_IDS` records; `more`: it ended before everything was deleted.
    """

    generations: int = 0
    by_kind: UsageByKind = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    more: bool = False

    @property
    def total(self) -> Usage:
        return sum(self.by_kind.values(), Usage())

    def __add__(self, other: CleanUpResult) -> CleanUpResult:
        return CleanUpResult(
            self.generations + other.generations,
            add_usage(self.by_kind, other.by_kind),
            (*self.ids, *other.ids)[:MAX_ANSWERED_IDS],
            other.more,
        )


class StorageAdmin:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def stats(self, paging: PageRequest) -> StorageStats:
        """The room that files take, how they came, and a page of them."""
        async with self._database.read() as unit:
            return StorageStats(
                await unit.stored_files.usage(),
                await unit.stored_files.download_counts(self._clock.now()),
                await unit.stored_files.page(paging),
            )

    async def delete(self, record_id: str) -> None:
        """Delete what an id names: a generation, a media, or the cuts of a job.

        Raises:
            Invalid: it is no such id.
            NotFound: there is none, or it was deleted.
            Precondition: it, or a job that needs it, is not over.
        """
        match deletable_kind(record_id):
            case "generation":
                await self.delete_generation(record_id)
            case "media":
                await self._delete_media(record_id)
            case _:
                async with self._database.write() as unit:
                    job = await unit.jobs.get(record_id, lock=True)
                    await save_job(unit, job, delete_cuts(job, self._clock.now()))

    async def delete_generation(self, generation_id: str) -> None:
        """Delete one with all its media. Raises like `delete`."""
        async with self._database.write() as unit:
            await self._delete(unit, *await lock_generation(unit, generation_id))

    async def _delete_media(self, media_id: str) -> None:
        async with self._database.write() as unit:
            media = await unit.generations.media(media_id)
            job, generation = await lock_generation(unit, media.generation_id)
            await self._delete(unit, job, generation, media.index)

    async def _delete(
        self, unit: UnitOfWork, job: Job | None, generation: Generation, index: int | None = None
    ) -> None:
        needed_by = job.id if job is not None and not job.final else ""
        events = delete_generation(generation, self._clock.now(), index=index, needed_by=needed_by)
        await save_generation(unit, job, generation, events)

    async def clean_up(self, days: int, *, dry_run: bool) -> CleanUpResult:
        """Delete what ended more than so many days ago, one transaction for each batch.

        What is deleted stays deleted when a later batch fails; the next call goes on with the rest.
        """
        before = self._clock.now() - timedelta(days=days)
        if dry_run:
            return await self._dry_run(before)
        begun, done = self._clock.monotonic(), CleanUpResult()
        for delete_batch in (self._delete_generations, self._delete_cuts):
            last: CleanUpCandidate | None = None
            while True:
                if self._clock.monotonic() - begun > TIME_LIMIT_S:
                    return replace(done, more=True)
                last, deleted = await delete_batch(before, last)
                done += deleted
                if last is None:
                    break
        return done

    async def _dry_run(self, before: datetime) -> CleanUpResult:
        limit = MAX_ANSWERED_IDS
        async with self._database.read() as unit:
            totals = await unit.stored_files.clean_up_totals(before)
            generations = await unit.stored_files.ended_generations(before, None, limit)
            jobs = await unit.stored_files.ended_jobs_with_cuts(before, None, limit)
        ids = [each.generation_id for each in generations] + [each.job_id for each in jobs]
        return CleanUpResult(totals.generations, totals.by_kind, tuple(ids[:limit]))

    async def _delete_generations(
        self, before: datetime, after: CleanUpCandidate | None
    ) -> tuple[CleanUpCandidate | None, CleanUpResult]:
        """Delete a batch. Answers where the next one begins (None when this was the last), and the result."""
        done = CleanUpResult()
        async with self._database.write() as unit:
            found = await unit.stored_files.ended_generations(before, after, BATCH_SIZE)
            for each in _in_lock_order(found):
                job, generation = await lock_generation(unit, each.generation_id, deleted=True)
                if _may_be_deleted(generation, job, before):  # it was found without a lock
                    await self._delete(unit, job, generation)
                    done += CleanUpResult(1, _usage_of(generation), (generation.id,))
        return _last_of_full_batch(found), done

    async def _delete_cuts(
        self, before: datetime, after: CleanUpCandidate | None
    ) -> tuple[CleanUpCandidate | None, CleanUpResult]:
        """As `_delete_generations`, for the cuts of jobs."""
        done = CleanUpResult()
        async with self._database.write() as unit:
            found = await unit.stored_files.ended_jobs_with_cuts(before, after, BATCH_SIZE)
            for each in _in_lock_order(found):
                job = await unit.jobs.get(each.job_id, lock=True)
                if job.present_cuts and _ended_before(job, before):
                    await save_job(unit, job, delete_cuts(job, self._clock.now()))
                    usage = sum((Usage(1, cut.facts.size_bytes) for cut in job.present_cuts), Usage())
                    done += CleanUpResult(0, {MediaKind.VIDEO: usage}, (job.id,))
        return _last_of_full_batch(found), done


def deletable_kind(record_id: str) -> str:
    """The kind of record that an id names: "generation", "media" or "job"; Invalid when none of them."""
    for kind in _DELETABLE_KINDS:
        with contextlib.suppress(Invalid):
            check_id(record_id, kind)
            return kind
    message = (
        f"{record_id[:40]!r} names nothing that can be deleted here: a generation (gen_…), a media (med_…), "
        "or a job (job_…) for its cuts"
    )
    raise Invalid.field("id", message)


def _in_lock_order(found: Sequence[CleanUpCandidate]) -> list[CleanUpCandidate]:
    """In the same order for everybody: two clean-ups at once would otherwise wait for each other's locks."""
    return sorted(found, key=lambda each: (each.job_id, each.generation_id))


def _last_of_full_batch(found: Sequence[CleanUpCandidate]) -> CleanUpCandidate | None:
    return found[-1] if len(found) == BATCH_SIZE else None


def _ended_before(job: Job, before: datetime) -> bool:
    return job.final and job.finished_at is not None and job.finished_at < before


def _may_be_deleted(generation: Generation, job: Job | None, before: datetime) -> bool:
    if generation.deleted_at is not None or not generation.final or generation.open_attempts:
        return False
    if generation.finished_at is None or generation.finished_at >= before:
        return False
    return job is None or _ended_before(job, before)


def _usage_of(generation: Generation) -> UsageByKind:
    usage: UsageByKind = {}
    for output in generation.stored:
        if output.facts is not None:
            usage = add_usage(usage, {output.facts.kind: Usage(1, output.facts.size_bytes)})
    return usage
