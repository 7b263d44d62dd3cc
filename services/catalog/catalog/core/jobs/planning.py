"""Plans jobs: has scenes chosen, their edit judged, and every run priced, before anybody approves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from catalog.core.campaigns.domain import Asset
from catalog.core.generations.apply import save_job
from catalog.core.jobs.domain.decide import fail_job, record_plan
from catalog.core.jobs.domain.model import Job, JobStatus, Music, Scene
from catalog.core.jobs.ports import EditChecker, Plan, PlannedScene, PlanRequest, SceneParts, ScenePlanner
from catalog.core.shared.domain import Error, MediaKind, RunSpec
from catalog.core.unit_of_work import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.concurrency import end
from servicekit.errors import AppError, Invalid, NotFound, Precondition, Retry
from servicekit.ids import new_id
from servicekit.telemetry import subject, traces

MAX_PHOTOS = 2000
"""Photos that the planner takes; of more, the newest are sent."""

TRIES = 6
"""Times that planning is tried while it may succeed later, before it is left to the reconciler."""

CONCURRENT_RETRIES = 8
"""Drafts planned again at the same time; each makes room when it is planned, or the patience ends."""

DEFAULT_PROMPT = "A slow, steady camera move from the first picture to the last"


class Planning:
    """Plans drafts in tasks that outlive the request which began them. A `Part`: stop ends the tasks.

    Args:
        patience: seconds that `begin` waits for the plan.
    """

    def __init__(
        self,
        database: Database,
        planner: ScenePlanner,
        edit_checker: EditChecker,
        clock: Clock,
        *,
        patience: float = 10.0,
    ) -> None:
        self._database = database
        self._planner = planner
        self._edit_checker = edit_checker
        self._clock = clock
        self._patience = patience
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._retries: dict[str, asyncio.Task[None]] = {}
        self._retry_slots = asyncio.Semaphore(CONCURRENT_RETRIES)

    async def start(self) -> None:
        """Nothing to do: tasks begin with jobs."""

    async def stop(self) -> None:
        """End the tasks: the reconciler finds their drafts after the next start."""
        await end(*self._retries.values(), *self._tasks.values())

    async def begin(self, job_id: str) -> None:
        """Plan it; return when it is planned, or after `patience`, while the task goes on.

        Raises:
            Invalid, NotFound: it cannot be planned (and has failed for that reason).
        """
        task = self._tasks.get(job_id)
        if task is None:
            task = asyncio.create_task(self._plan_with_retries(job_id), name=f"plan {job_id}")
            self._tasks[job_id] = task
            task.add_done_callback(lambda done: self._forget(job_id, done))
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if task in done and not task.cancelled() and isinstance(task.exception(), AppError):
            error = task.exception()
            if isinstance(error, Invalid | NotFound):
                raise error

    def begin_again(self, job_id: str) -> None:
        """Have a draft planned whose planning has stalled, unless that is under way; returns at once."""
        if job_id in self._retries or job_id in self._tasks:
            return
        task = asyncio.create_task(self._begin_in_a_slot(job_id), name=f"plan {job_id} again")
        self._retries[job_id] = task
        task.add_done_callback(lambda _done: self._retries.pop(job_id, None))

    async def _begin_in_a_slot(self, job_id: str) -> None:
        async with self._retry_slots:
            with contextlib.suppress(AppError):  # the job has failed for that reason, and its record has it
                await self.begin(job_id)

    def _forget(self, job_id: str, done: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        if not done.cancelled():
            done.exception()  # retrieved, else asyncio logs it; `begin` raises it

    async def _plan_with_retries(self, job_id: str) -> None:
        with traces.span("plan job"):
            subject.bind({"job_id": job_id})
            await self._plan_again_and_again(job_id)

    async def _plan_again_and_again(self, job_id: str) -> None:
        for attempt in range(TRIES):
            try:
                await self.plan(job_id)
            except AppError as error:
                if error.retry in (Retry.NEVER, Retry.FEW):
                    await self._give_up(job_id, error)
                    raise
                if attempt + 1 == TRIES:
                    raise
                await self._clock.sleep(error.retry_after or 2.0**attempt)
                continue
            return

    async def plan(self, job_id: str) -> None:
        """Have scenes chosen, checked and priced, and the edit of their clips judged.

        A job that is no draft stays as it is.

        Raises:
            Precondition: a photo that was chosen is deleted by now: others have to be.
        """
        async with self._database.read() as unit:
            job = await unit.jobs.get(job_id)
            if job.status is not JobStatus.DRAFT:
                return
            campaign = await unit.campaigns.get(job.campaign_id)
            client = await unit.clients.get(campaign.client_id)
            assets = await unit.assets.of(campaign_id=campaign.id)
            paired = [await unit.assets.get(pair.first_asset_id) for pair in job.request.pairs]
        photos = tuple(paired) or photos_of(assets)
        plan = await self._planner.plan(
            PlanRequest(job.request, photos, campaign.brief or "", client.brand_guidelines or "")
        )
        chosen = _scenes_of_pairs(job, plan) if job.request.pairs else plan.scenes
        planner = "image pairs" if job.request.pairs else plan.planner
        runs = await asyncio.gather(*(self._scene_run(job, scene) for scene in chosen))
        scenes = tuple(
            _scene(position, scene, run)
            for position, (scene, run) in enumerate(zip(chosen, runs, strict=True), 1)
        )
        checked = await self._edit_checker.check(job.edit, [(scene.id, scene.seconds) for scene in scenes])
        music = await self._music(job.music, checked.seconds, plan.music_model)
        async with self._database.write() as unit:
            locked = await unit.jobs.get(job_id, lock=True)
            await _keep_photos(unit, scenes)
            now = self._clock.now()
            planned = record_plan(locked, now, scenes=scenes, planner=planner, edit=checked.edit, music=music)
            await save_job(unit, locked, planned)

    async def _scene_run(self, job: Job, scene: PlannedScene) -> RunSpec:
        parts = SceneParts(
            scene.prompt,
            _reference(scene.first_asset_id),
            _reference(scene.last_asset_id),
            scene.seconds,
            job.request.width,
            job.request.height,
        )
        return await self._prepare(scene.model, parts, MediaKind.VIDEO, "a scene")

    async def _music(self, music: Music | None, seconds: float, default_model: str) -> Music | None:
        """The music, and where it is composed the run for a piece as long as the cut."""
        if music is None or music.asset_id:
            return music
        parts = SceneParts(music.prompt, "", "", max(seconds, 1.0), 0, 0)
        run = await self._prepare(music.model or default_model, parts, MediaKind.AUDIO, "music")
        return replace(music, model=run.model, run=run)

    async def _prepare(self, model: str, parts: SceneParts, kind: MediaKind, purpose: str) -> RunSpec:
        """The run that makes media of this kind; Invalid when the provider says that the model does not.

        Where the provider does not say what the model makes, the run is for what is needed.
        """
        run = await self._planner.prepare_scene(model, parts)
        if run.kind not in (kind, MediaKind.UNKNOWN):
            raise Invalid(
                f"model {run.model} makes {run.kind}, and {purpose} needs a model that makes {kind}"
            )
        return replace(run, kind=kind)

    async def _give_up(self, job_id: str, cause: AppError) -> None:
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            if job.status is JobStatus.DRAFT:  # else another replica has planned it meanwhile
                error = Error("planning", cause.message)
                await save_job(unit, job, fail_job(job, self._clock.now(), error=error))


def photos_of(assets: Sequence[Asset]) -> tuple[Asset, ...]:
    """The pictures among assets; of more than `MAX_PHOTOS`, the newest."""
    return tuple(asset for asset in assets if asset.facts.kind is MediaKind.IMAGE)[-MAX_PHOTOS:]


async def _keep_photos(unit: UnitOfWork, scenes: Sequence[Scene]) -> None:
    """Nobody deletes these photos until the scenes are recorded, and then their job needs them."""
    chosen = {each for scene in scenes for each in (scene.first_asset_id, scene.last_asset_id) if each}
    for asset_id in sorted(chosen):  # in one order: no two plans wait for each other
        try:
            await unit.assets.get(asset_id, lock=True)
        except NotFound as error:
            raise Precondition(f"asset {asset_id} was deleted while scenes were planned with it") from error


def _scenes_of_pairs(job: Job, plan: Plan) -> tuple[PlannedScene, ...]:
    return tuple(
        PlannedScene(
            pair.first_asset_id,
            pair.last_asset_id,
            pair.prompt or DEFAULT_PROMPT,
            pair.seconds,
            "paired by hand",
            job.request.model or plan.pair_model,
        )
        for pair in job.request.pairs
    )


def _scene(position: int, planned: PlannedScene, run: RunSpec) -> Scene:
    return Scene(
        id=new_id("scene"),
        position=position,
        prompt=planned.prompt,
        seconds=planned.seconds,
        first_asset_id=planned.first_asset_id,
        last_asset_id=planned.last_asset_id,
        reason=planned.reason,
        run=run,
    )


def _reference(asset_id: str) -> str:
    return f"asset:{asset_id}" if asset_id else ""
