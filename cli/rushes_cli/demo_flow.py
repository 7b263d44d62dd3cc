"""The steps of the main job as a client of the REST API: campaign, upload, plan, approve, follow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rushes_cli.errors import FAILED, CommandError
from rushes_cli.photo_files import tags_of
from rushes_cli.rest_client import RequestRefusedError, RestClient

_UPLOADS_AT_ONCE = 4
_POLL_S = 1.0
"""Seconds after which the job is read again without an event."""
_MIN_INTERVAL_S = 0.2
"""Seconds between two reads of the job, however many events arrive."""
FINAL = ("completed", "failed", "canceled")

Job = Mapping[str, Any]


@dataclass(frozen=True)
class UploadResult:
    accepted: int
    refused: list[str]
    """One line for each file: its name and the reason."""


async def open_campaign(client: RestClient, name: str) -> dict[str, Any]:
    """Create a client and its campaign; returns the campaign."""
    owner = await client.post("/api/v3/clients", {"name": f"{name} (demo)"})
    return await client.post(
        "/api/v3/campaigns",
        {
            "name": name,
            "client_id": owner["id"],
            "brief": "Show the house at its best: outside first, then the rooms.",
        },
    )


async def close_campaign(client: RestClient, campaign: Mapping[str, Any]) -> None:
    """Delete an empty campaign and its client."""
    await client.delete(f"/api/v3/campaigns/{campaign['id']}")
    await client.delete(f"/api/v3/clients/{campaign['client_id']}")


async def upload(
    client: RestClient, campaign_id: str, photos: list[Path], on_progress: Callable[[int], None]
) -> UploadResult:
    """Upload photos, four at a time; `on_progress` gets the number done. Refused ones are listed."""
    slots = asyncio.Semaphore(_UPLOADS_AT_ONCE)
    refused: list[str] = []
    done = 0

    async def one(photo: Path) -> None:
        nonlocal done
        async with slots:
            try:
                await client.upload(photo, {"campaign_id": campaign_id, "tags": tags_of(photo)})
            except RequestRefusedError as error:
                if error.status not in (400, 413, 415, 422):
                    raise
                refused.append(f"{photo.name}: {error.message}")
            done += 1
            on_progress(done)

    try:
        async with asyncio.TaskGroup() as group:
            for photo in photos:
                group.create_task(one(photo))
    except ExceptionGroup as several:  # a person needs one of the reasons
        raise several.exceptions[0] from several
    return UploadResult(len(photos) - len(refused), sorted(refused))


async def plan(client: RestClient, campaign_id: str, *, scenes: int, seconds: float) -> Job:
    """Create a job with composed music; returns it planned, with its estimate, not yet approved."""
    job = await client.post(
        f"/api/v3/campaigns/{campaign_id}/create-job",
        {
            "scene_count": scenes,
            "scene_seconds": seconds,
            "music": {"prompt": "warm, unhurried, piano and soft strings"},
        },
    )
    while job["status"] == "draft":  # planning may take longer than one request
        await asyncio.sleep(_POLL_S)
        job = await client.get(f"/api/v3/jobs/{job['id']}")
    return job


async def approve(client: RestClient, job: Job) -> Job:
    return await client.post(f"/api/v3/jobs/{job['id']}/approve")


async def music_of(client: RestClient, job: Job) -> Mapping[str, Any] | None:
    """The generation that composes the music; None: there is none, or the gateway does not answer."""
    generation = (job["edit"]["music"] or {}).get("generation_id")
    with contextlib.suppress(CommandError):
        return await client.get(f"/api/v3/generations/{generation}") if generation else None
    return None


async def follow(client: RestClient, job_id: str, *, within: float) -> AsyncIterator[Job]:
    """The job each time it may have changed, the last time in a final status.

    Events of the live stream say when to read it. While stream or gateway are broken, it is read less often.

    Raises:
        RequestRefusedError: the job may not be read, or is not there.
        CommandError: the job is not final after `within` seconds.
    """
    changed = asyncio.Event()
    listener = asyncio.create_task(_listen(client, job_id, changed))
    try:
        async with asyncio.timeout(within):
            while True:
                changed.clear()
                job = await _read(client, job_id)
                if job is not None:
                    yield job
                    if job["status"] in FINAL:
                        return
                await asyncio.sleep(_MIN_INTERVAL_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _POLL_S)
    except TimeoutError as error:
        raise CommandError(
            f"Job {job_id} is not finished after {within:g} s; it goes on without this command.",
            f"Look at it with `rushes jobs {job_id}`.",
            exit_code=FAILED,
        ) from error
    finally:
        listener.cancel()


async def _read(client: RestClient, job_id: str) -> Job | None:
    """The job; None while the gateway does not answer."""
    try:
        return await client.get(f"/api/v3/jobs/{job_id}")
    except RequestRefusedError as error:
        if 400 <= error.status < 500 and not error.is_temporary:  # it would be refused each time
            raise
    except CommandError:
        pass
    return None


async def _listen(client: RestClient, job_id: str, changed: asyncio.Event) -> None:
    last: int | None = None
    while True:
        with contextlib.suppress(CommandError):
            async with aclosing(client.events(f"/api/v3/jobs/{job_id}/events", after=last)) as events:
                async for event in events:
                    last = event.sequence
                    changed.set()
        await asyncio.sleep(_POLL_S)
