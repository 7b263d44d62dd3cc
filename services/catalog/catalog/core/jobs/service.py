"""The use cases on jobs: create, read, approve, pause, resume, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from catalog.core.campaigns.asset_references import asset_problem
from catalog.core.generations.apply import save_job
from catalog.core.generations.attempts import AttemptService
from catalog.core.generations.domain.model import Generation
from catalog.core.generations.domain.requesting import create_generation, request_again
from catalog.core.jobs.domain import decide
from catalog.core.jobs.domain.model import EditDocument, Job, JobRequest, JobStatus, Music, TimelineEntry
from catalog.core.jobs.planning import Planning, photos_of
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.unit_of_work import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.errors import FieldProblem, Invalid, Precondition
from servicekit.ids import new_id
from servicekit.telemetry import subject


@dataclass(frozen=True)
class JobDetails:
    """A job with its generations by their ids, and its timeline."""

    job: Job
    generations: dict[str, Generation]
    timeline: Sequence[TimelineEntry] = ()

    @property
    def cost_micros(self) -> int:
        return sum(generation.cost_micros for generation in self.generations.values())


class JobService:
    def __init__(
        self, database: Database, planning: Planning, attempts: AttemptService, clock: Clock
    ) -> None:
        self._database = database
        self._planning = planning
        self._attempts = attempts
        self._clock = clock

    async def create(
        self, campaign_id: str, request: JobRequest, edit: EditDocument, music: Music | None
    ) -> JobDetails:
        """Record a draft and plan it. The draft is answered when planning takes long.

        Raises:
            Precondition: the campaign has no photos.
            Invalid: a picture or the music does not exist or is of another kind, a model does not take it,
                or the edit cannot be cut.
        """
        async with self._database.write() as unit:
            await unit.campaigns.get(campaign_id, lock=True)  # nobody deletes it meanwhile
            if request.pairs:
                await _check_pairs(unit, request)
            elif not photos_of(await unit.assets.of(campaign_id=campaign_id)):
                raise Precondition(
                    f"campaign {campaign_id} has no photos: upload some to /api/v3/assets first",
                    code="no_photos",
                )
            if music is not None and music.asset_id:
                music = await _uploaded(unit, music)
            created = decide.create_job(self._clock.now(), new_id("job"), campaign_id, request, edit, music)
            job = await unit.jobs.save(None, created)
        subject.bind({"job_id": job.id})
        await self._planning.begin(job.id)
        return await self.get(job.id)

    async def get(self, job_id: str) -> JobDetails:
        async with self._database.read() as unit:
            return (await _details(unit, [await unit.jobs.get(job_id)]))[0]

    async def page(
        self, paging: PageRequest, *, campaign_id: str, status: JobStatus | None
    ) -> Page[JobDetails]:
        async with self._database.read() as unit:
            page = await unit.jobs.page(paging, campaign_id=campaign_id, status=status)
            return Page(await _details(unit, page.items), page.next_token)

    async def approve(self, job_id: str) -> JobDetails:
        """Create a generation for each scene, and for composed music, in one transaction."""
        now = self._clock.now()
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            music = job.music.run if job.music else None
            ids = tuple(new_id("generation") for _ in job.scenes)
            music_id = new_id("generation") if music else ""
            accounts = await self._attempts.accounts(unit, job.campaign_id)
            events = decide.approve_job(
                job, now, generation_ids=ids, music_generation_id=music_id, accounts=accounts.values()
            )
            job = await unit.jobs.save(job, events)
            runs = [(scene.generation_id, scene.run, scene.id) for scene in job.scenes]
            for generation_id, run, scene_id in [*runs, *([(music_id, music, "")] if music else [])]:
                requested = create_generation(
                    now, generation_id, run, campaign_id=job.campaign_id, job_id=job.id, scene_id=scene_id
                )
                await unit.generations.save(None, requested)
        return await self.get(job_id)

    async def pause(self, job_id: str) -> JobDetails:
        """Submit nothing new; what runs at the provider goes on."""
        return await self._apply(job_id, decide.pause_job)

    async def resume(self, job_id: str) -> JobDetails:
        """Submit again: what was not submitted while it was paused is requested again."""
        now = self._clock.now()
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            events = decide.resume_job(job, now)
            await unit.jobs.save(job, events)
            if events:
                for generation in await unit.generations.of_jobs(job_id, lock=True):
                    again = request_again(generation, now)
                    await unit.generations.save(generation, again)
        return await self.get(job_id)

    async def cancel(self, job_id: str) -> JobDetails:
        """Stop it and its generations."""
        return await self._apply(job_id, decide.cancel_job)

    async def _apply(self, job_id: str, decision: decide.Decision) -> JobDetails:
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            await save_job(unit, job, decision(job, self._clock.now()))
        return await self.get(job_id)


async def _details(unit: UnitOfWork, jobs: Sequence[Job]) -> tuple[JobDetails, ...]:
    """The details of jobs: as many queries for a page of them as for one."""
    ids = [job.id for job in jobs]
    timelines = await unit.jobs.timelines(*ids)
    generations: dict[str, dict[str, Generation]] = {job_id: {} for job_id in ids}
    for each in await unit.generations.of_jobs(*ids):
        generations[each.job_id][each.id] = each
    return tuple(JobDetails(job, generations[job.id], timelines[job.id]) for job in jobs)


async def _check_pairs(unit: UnitOfWork, request: JobRequest) -> None:
    problems: list[FieldProblem] = []
    for number, pair in enumerate(request.pairs):
        ends = {"first_asset_id": pair.first_asset_id, "last_asset_id": pair.last_asset_id}
        for name, asset_id in ends.items():
            if message := await asset_problem(unit, asset_id, MediaKind.IMAGE, "a scene needs a picture"):
                problems.append(FieldProblem(f"pairs[{number}].{name}", message))
    if problems:
        raise Invalid("; ".join(f"{each.field}: {each.message}" for each in problems), fields=problems)


async def _uploaded(unit: UnitOfWork, music: Music) -> Music:
    """Uploaded music with its blob key filled in, locked so that it stays; Invalid when there is none."""
    if message := await asset_problem(unit, music.asset_id, MediaKind.AUDIO, "music must be audio"):
        raise Invalid.field("music.asset_id", message)
    return replace(music, blob_key=(await unit.assets.get(music.asset_id, lock=True)).blob_key)
