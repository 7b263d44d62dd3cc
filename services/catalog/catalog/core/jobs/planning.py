"""Planning a job: choosing its scenes, and having every run checked and priced before anybody approves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from catalog.core.generations.apply import carry_job
from catalog.core.jobs.domain import commands as jc
from catalog.core.jobs.domain.model import Job, JobStatus, Music, Scene, Transition
from catalog.core.shared.ports import Generator, Plan, PlannedScene, PlanRequest, SceneParts, Store
from catalog.core.shared.records import Asset
from catalog.core.shared.values import Error, MediaKind, RunSpec
from servicekit.clock import Clock
from servicekit.errors import AppError, Invalid, NotFound, Retry
from servicekit.ids import new_id

MOST_PHOTOS = 2000
"""Photos that the planner takes; the newest of more."""

TRIES = 6
"""Times that a planner in trouble, or one that says "later", is asked before the reconciler takes over."""

DEFAULT_PROMPT = "A slow, steady camera move from the first picture to the last"


class Planning:
    """Plans drafts, in tasks that outlive the request that began them. A `Part`: stop ends the tasks."""

    def __init__(self, store: Store, generator: Generator, clock: Clock, *, patience: float = 10.0) -> None:
        self._store = store
        self._generator = generator
        self._clock = clock
        self._patience = patience
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Nothing to do: work comes with jobs."""

    async def stop(self) -> None:
        """End what is being planned: the drafts are found again after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def is_planning(self, job_id: str) -> bool:
        """Whether it is being planned here and now."""
        return job_id in self._tasks

    async def begin(self, job_id: str) -> None:
        """Plan it; return when it is planned, or when the caller has waited long enough.

        Raises:
            Invalid, NotFound: it cannot be planned (and has failed for that reason).
        """
        task = self._tasks.get(job_id)
        if task is None:
            task = asyncio.create_task(self._keep_planning(job_id), name=f"plan {job_id}")
            self._tasks[job_id] = task
            task.add_done_callback(lambda done: self._forget(job_id, done))
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if task in done and not task.cancelled() and isinstance(task.exception(), AppError):
            error = task.exception()
            if isinstance(error, Invalid | NotFound):
                raise error

    def _forget(self, job_id: str, done: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        if not done.cancelled():
            done.exception()  # looked at: `begin` tells it, and the reconciler begins again

    async def _keep_planning(self, job_id: str) -> None:
        for number in range(TRIES):
            try:
                await self.plan(job_id)
            except AppError as error:
                if error.retry in (Retry.NEVER, Retry.FEW):
                    await self._give_up(job_id, error)
                    raise
                if number + 1 == TRIES:
                    raise
                await self._clock.sleep(error.retry_after or 2.0**number)
                continue
            return

    async def plan(self, job_id: str) -> None:
        """Choose, check and price; then wait for approval. A job that is no draft stays as it is."""
        async with self._store.read() as unit:
            job = await unit.jobs.get(job_id)
            if job.status is not JobStatus.DRAFT:
                return
            campaign = await unit.campaigns.get(job.campaign_id)
            client = await unit.clients.get(campaign.client_id)
            assets = await unit.assets.of(campaign_id=campaign.id)
            paired = [await unit.assets.get(pair.first_asset_id) for pair in job.request.pairs]
        photos = tuple(paired) or photos_of(assets)
        request = PlanRequest(
            photos=photos,
            brief=campaign.brief or "",
            brand_guidelines=client.brand_guidelines or "",
            scene_count=job.request.scene_count,
            scene_seconds=job.request.scene_seconds,
            planner=job.request.planner,
            model=job.request.model,
            width=job.edit.width,
            height=job.edit.height,
        )
        plan = await self._generator.plan(request)
        planned = _pairs(job, plan) if job.request.pairs else plan.scenes
        planner = "image pairs" if job.request.pairs else plan.planner
        runs = await asyncio.gather(*(self._run(job, scene) for scene in planned))
        scenes = tuple(
            _scene(number, scene, run)
            for number, (scene, run) in enumerate(zip(planned, runs, strict=True), 1)
        )
        music = await self._music(job, scenes, plan.music_model)
        async with self._store.write() as unit:
            locked = await unit.jobs.get(job_id, lock=True)
            await carry_job(unit, locked, jc.PlanJob(self._clock.now(), scenes, planner, music))

    async def _run(self, job: Job, scene: PlannedScene) -> RunSpec:
        parts = SceneParts(
            scene.prompt,
            _reference(scene.first_asset_id),
            _reference(scene.last_asset_id),
            scene.seconds,
            job.edit.width,
            job.edit.height,
        )
        run = await self._generator.prepare_scene(scene.model, parts)
        if run.kind not in (MediaKind.VIDEO, MediaKind.UNKNOWN):
            raise Invalid(f"model {run.model} makes {run.kind}, and a scene needs a model that makes video")
        return run

    async def _music(self, job: Job, scenes: tuple[Scene, ...], standard: str) -> Music | None:
        music = job.edit.music
        if music is None or music.asset_id:
            return music
        overlaps = max(len(scenes) - 1, 0) if job.edit.transition is Transition.CROSSFADE else 0
        seconds = sum(scene.seconds for scene in scenes) - overlaps * job.edit.transition_seconds
        parts = SceneParts(music.prompt, "", "", max(seconds, 1.0), 0, 0)
        run = await self._generator.prepare_scene(music.model or standard, parts)
        if run.kind not in (MediaKind.AUDIO, MediaKind.UNKNOWN):
            raise Invalid(f"model {run.model} makes {run.kind}, and music needs a model that makes audio")
        return replace(music, model=run.model, run=run)

    async def _give_up(self, job_id: str, cause: AppError) -> None:
        async with self._store.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            await carry_job(unit, job, jc.FailJob(self._clock.now(), Error("planning", cause.message)))


def photos_of(assets: Sequence[Asset]) -> tuple[Asset, ...]:
    """The pictures among assets, the newest of very many."""
    return tuple(asset for asset in assets if asset.facts.kind is MediaKind.IMAGE)[-MOST_PHOTOS:]


def _pairs(job: Job, plan: Plan) -> tuple[PlannedScene, ...]:
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


def _scene(number: int, planned: PlannedScene, run: RunSpec) -> Scene:
    return Scene(
        id=new_id("scene"),
        position=number,
        prompt=planned.prompt,
        seconds=planned.seconds,
        first_asset_id=planned.first_asset_id,
        last_asset_id=planned.last_asset_id,
        reason=planned.reason,
        run=run,
    )


def _reference(asset_id: str) -> str:
    return f"asset:{asset_id}" if asset_id else ""
