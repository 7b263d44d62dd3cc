"""The main job, as a client does it: photos up, plan, approve, follow, fetch the cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rushes_cli.pictures import tags_of
from rushes_cli.problems import FAILED, Problem
from rushes_cli.rest import Refused, RestClient

_UPLOADS_AT_ONCE = 4
_LOOK_AT_LEAST = 1.0
"""Seconds after which the job is read again though no fact arrived."""
_LOOK_AT_MOST = 0.2
"""Seconds between two readings of the job, however many facts arrive."""
FINAL = ("completed", "failed", "canceled")

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Uploaded:
    """What became of the photos."""

    accepted: int
    refused: list[str]
    """A line each: the file and why."""


async def open_campaign(client: RestClient, name: str) -> dict[str, Any]:
    """A client and a campaign to work in; answers the campaign."""
    brand = await client.post("/api/v3/clients", {"name": f"{name} (demo)"})
    return await client.post(
        "/api/v3/campaigns",
        {
            "name": name,
            "client_id": brand["id"],
            "brief": "Show the house at its best: outside first, then the rooms.",
        },
    )


async def close_campaign(client: RestClient, campaign: Mapping[str, Any]) -> None:
    """Remove a campaign that stayed empty, and its client."""
    await client.delete(f"/api/v3/campaigns/{campaign['id']}")
    await client.delete(f"/api/v3/clients/{campaign['client_id']}")


async def upload(
    client: RestClient, campaign_id: str, photos: list[Path], tell: Callable[[int], None]
) -> Uploaded:
    """Upload photos, some at once; `tell` gets the number done. What is refused is listed, not fatal."""
    slots = asyncio.Semaphore(_UPLOADS_AT_ONCE)
    refused: list[str] = []
    done = 0

    async def one(photo: Path) -> None:
        nonlocal done
        async with slots:
            try:
                await client.upload(photo, {"campaign_id": campaign_id, "tags": tags_of(photo)})
            except Refused as error:
                if error.status not in (400, 413, 415, 422):
                    raise
                refused.append(f"{photo.name}: {error.sentence}")
            done += 1
            tell(done)

    try:
        async with asyncio.TaskGroup() as group:
            for photo in photos:
                group.create_task(one(photo))
    except ExceptionGroup as several:  # one reason is enough for a person
        raise several.exceptions[0] from several
    return Uploaded(len(photos) - len(refused), sorted(refused))


async def plan(client: RestClient, campaign_id: str, *, scenes: int, seconds: float) -> Job:
    """Plan a job with composed music; answers it with its scenes and its estimate, not yet approved."""
    job = await client.post(
        f"/api/v3/campaigns/{campaign_id}/create-job",
        {
            "scene_count": scenes,
            "scene_seconds": seconds,
            "music": {"prompt": "warm, unhurried, piano and soft strings"},
        },
    )
    while job["status"] == "draft":  # planning takes longer than an answer may
        await asyncio.sleep(_LOOK_AT_LEAST)
        job = await client.get(f"/api/v3/jobs/{job['id']}")
    return job


async def approve(client: RestClient, job: Job) -> Job:
    """Let a planned job spend money."""
    return await client.post(f"/api/v3/jobs/{job['id']}/approve")


async def music_of(client: RestClient, job: Job) -> Mapping[str, Any] | None:
    """The generation that composes a job's music; None while it has none, or nobody answers."""
    generation = (job["edit"]["music"] or {}).get("generation_id")
    with contextlib.suppress(Problem):
        return await client.get(f"/api/v3/generations/{generation}") if generation else None
    return None


async def follow(client: RestClient, job_id: str, *, within: float) -> AsyncIterator[Job]:
    """The job each time it may have changed, the last time in a final status.

    Facts from the live stream say when to look; a stream or a gateway that breaks is only slower.

    Raises:
        Refused: the job may not be read, or is not there.
        Problem: the job is not final `within` seconds.
    """
    heard = asyncio.Event()
    listener = asyncio.create_task(_listen(client, job_id, heard))
    try:
        async with asyncio.timeout(within):
            while True:
                heard.clear()
                job = await _read(client, job_id)
                if job is not None:
                    yield job
                    if job["status"] in FINAL:
                        return
                await asyncio.sleep(_LOOK_AT_MOST)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(heard.wait(), _LOOK_AT_LEAST)
    except TimeoutError as error:
        raise Problem(
            f"Job {job_id} is not finished after {within:g} s; it goes on without this command.",
            f"Look at it with `rushes jobs {job_id}`.",
            exit_code=FAILED,
        ) from error
    finally:
        listener.cancel()


async def _read(client: RestClient, job_id: str) -> Job | None:
    """The job; None while nobody can tell."""
    try:
        return await client.get(f"/api/v3/jobs/{job_id}")
    except Refused as error:
        if 400 <= error.status < 500 and not error.is_passing:  # it will be refused for ever
            raise
    except Problem:
        pass
    return None


async def _listen(client: RestClient, job_id: str, heard: asyncio.Event) -> None:
    last: int | None = None
    while True:
        with contextlib.suppress(Problem):
            async with aclosing(client.facts(f"/api/v3/jobs/{job_id}/events", after=last)) as facts:
                async for fact in facts:
                    last = fact.sequence
                    heard.set()
        await asyncio.sleep(_LOOK_AT_LEAST)
