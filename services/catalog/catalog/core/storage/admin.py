"""Storage as operators see it: what is there, deleting it by its id, and clearing out what is old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from catalog.core.generations.apply import carry_job, lock_generation, save_generation
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.model import Generation
from catalog.core.jobs.domain.commands import DeleteCuts
from catalog.core.jobs.domain.model import Job
from catalog.core.shared.ports import PageRequest, Store, Unit
from catalog.core.shared.records import Page
from catalog.core.shared.values import MediaKind
from catalog.core.storage.queries import DownloadCounts, File, Old, Usage
from servicekit.clock import Clock
from servicekit.errors import AppError, FieldProblem, Invalid
from servicekit.ids import check_id

BATCH = 50
"""Records that are deleted in one transaction: it holds locks, on SQLite everybody's."""

PATIENCE = 10.0
"""Seconds after which a clean-up ends with what it has done: a caller waits no longer than that."""

TOLD = 100
"""Ids that a clean-up names."""

_KINDS = ("generation", "media", "job")


@dataclass(frozen=True)
class Stats:
    """What is stored."""

    by_kind: Mapping[MediaKind, Usage]
    downloads: DownloadCounts
    files: Page[File]

    @property
    def total(self) -> Usage:
        """All kinds together."""
        return sum(self.by_kind.values(), Usage())


@dataclass(frozen=True)
class Cleared:
    """What a clean-up deleted, or would. `more`: it ended before everything was."""

    generations: int = 0
    by_kind: Mapping[MediaKind, Usage] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    more: bool = False

    @property
    def total(self) -> Usage:
        """All kinds together."""
        return sum(self.by_kind.values(), Usage())

    def __add__(self, other: Cleared) -> Cleared:
        kinds = {*self.by_kind, *other.by_kind}
        return Cleared(
            self.generations + other.generations,
            {kind: self.by_kind.get(kind, Usage()) + other.by_kind.get(kind, Usage()) for kind in kinds},
            (*self.ids, *other.ids)[:TOLD],
            other.more,
        )


class Storing:
    """The use cases on what is stored."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def stats(self, paging: PageRequest) -> Stats:
        """What is there now, and a page of the files."""
        async with self._store.read() as unit:
            return Stats(
                await unit.files.usage(),
                await unit.files.downloads(self._clock.now()),
                await unit.files.page(paging.size, paging.token),
            )

    async def delete(self, id_: str) -> None:
        """Delete what an id names: a generation, a media, or the cuts of a job.

        Raises:
            Invalid: it is no such id.
            NotFound: there is none, or it was deleted.
            Precondition: it, or a job that needs it, is not over.
        """
        match kind_of(id_):
            case "generation":
                await self.delete_generation(id_)
            case "media":
                await self._delete_media(id_)
            case _:
                async with self._store.write() as unit:
                    job = await unit.jobs.get(id_, lock=True)
                    await carry_job(unit, job, DeleteCuts(self._clock.now()))

    async def delete_generation(self, generation_id: str) -> None:
        """Delete one with all its media. Raises like `delete`."""
        async with self._store.write() as unit:
            await self._delete(unit, *await lock_generation(unit, generation_id))

    async def _delete_media(self, media_id: str) -> None:
        async with self._store.write() as unit:
            media = await unit.generations.media(media_id)
            job, generation = await lock_generation(unit, media.generation_id)
            await self._delete(unit, job, generation, media.index)

    async def _delete(
        self, unit: Unit, job: Job | None, generation: Generation, index: int | None = None
    ) -> None:
        needed_by = job.id if job is not None and not job.final else ""
        events = delete_generation(generation, self._clock.now(), index=index, needed_by=needed_by)
        await save_generation(unit, job, generation, events)

    async def clean_up(self, days: int, *, dry_run: bool) -> Cleared:
        """Delete what ended more than so many days ago, a transaction for each batch.

        What is gone stays gone when a later batch fails, and whoever asks again goes on with the rest.
        """
        before = self._clock.now() - timedelta(days=days)
        if dry_run:
            return await self._would(before)
        begun, done = self._clock.monotonic(), Cleared()
        for clear in (self._clear_generations, self._clear_cuts):
            last: Old | None = None
            while True:
                if self._clock.monotonic() - begun > PATIENCE:
                    return replace(done, more=True)
                last, cleared = await clear(before, last)
                done += cleared
                if last is None:
                    break
        return done

    async def _would(self, before: datetime) -> Cleared:
        async with self._store.read() as unit:
            aged = await unit.files.aged(before)
            first = [each.generation_id for each in await unit.files.old_generations(before, None, TOLD)]
            first += [each.job_id for each in await unit.files.old_jobs(before, None, TOLD)]
        return Cleared(aged.generations, aged.by_kind, tuple(first[:TOLD]))

    async def _clear_generations(self, before: datetime, after: Old | None) -> tuple[Old | None, Cleared]:
        """A batch; answers where the next begins, None when this was the last."""
        done = Cleared()
        async with self._store.write() as unit:
            found = await unit.files.old_generations(before, after, BATCH)
            for each in _in_order(found):
                job, generation = await lock_generation(unit, each.generation_id, deleted=True)
                if _still_old(generation, job, before):  # it was looked at without a lock
                    await self._delete(unit, job, generation)
                    done += Cleared(1, _sizes(generation), (generation.id,))
        return _next(found), done

    async def _clear_cuts(self, before: datetime, after: Old | None) -> tuple[Old | None, Cleared]:
        done = Cleared()
        async with self._store.write() as unit:
            found = await unit.files.old_jobs(before, after, BATCH)
            for each in _in_order(found):
                job = await unit.jobs.get(each.job_id, lock=True)
                if job.shown_cuts and _ended(job, before):
                    await carry_job(unit, job, DeleteCuts(self._clock.now()))
                    sizes = sum((Usage(1, cut.facts.size_bytes) for cut in job.shown_cuts), Usage())
                    done += Cleared(0, {MediaKind.VIDEO: sizes}, (job.id,))
        return _next(found), done


def kind_of(id_: str) -> str:
    """What an id names: one of "generation", "media", "job"; Invalid when none of them."""
    for kind in _KINDS:
        try:
            check_id(id_, kind)
        except AppError:
            continue
        return kind
    message = (
        f"{id_[:40]!r} names nothing that can be deleted here: a generation (gen_…), a media (med_…), "
        "or a job (job_…) for its cuts"
    )
    raise Invalid(f"id: {message}", fields=[FieldProblem("id", message)])


def _in_order(found: Sequence[Old]) -> list[Old]:
    """Two clean-ups at once lock in the same order, so neither waits for the other in a circle."""
    return sorted(found, key=lambda each: (each.job_id, each.generation_id))


def _next(found: Sequence[Old]) -> Old | None:
    return found[-1] if len(found) == BATCH else None


def _ended(job: Job, before: datetime) -> bool:
    return job.final and job.finished_at is not None and job.finished_at < before


def _still_old(generation: Generation, job: Job | None, before: datetime) -> bool:
    if generation.deleted_at is not None or not generation.final or generation.open_attempts:
        return False
    if generation.finished_at is None or generation.finished_at >= before:
        return False
    return job is None or _ended(job, before)


def _sizes(generation: Generation) -> dict[MediaKind, Usage]:
    sizes: dict[MediaKind, Usage] = {}
    for output in generation.stored:
        if output.facts is not None:
            kind = output.facts.kind
            sizes[kind] = sizes.get(kind, Usage()) + Usage(1, output.facts.size_bytes)
    return sizes
