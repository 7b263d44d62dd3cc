"""`rushes demo`: the main job from photos to a playing cut, on a stack that is started when none runs."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rushes_cli import main_job as steps
from rushes_cli import view
from rushes_cli.commands.up import down, start_detached
from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.folder import DataFolder, StackState, default_folder
from rushes_cli.pictures import copy_demo_photos, find_photos
from rushes_cli.problems import FAILED, Problem
from rushes_cli.rest import RestClient
from rushes_cli.stack.services import Options, provider_of

_PLAYS_FOR_S = 86_400
"""Seconds for which the printed address plays the cut in a browser without a key."""


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    photos: Path | None
    """A folder; None for the shipped ones."""
    out: Path | None
    """Where the video goes; None for the data folder."""
    scenes: int
    seconds: float
    within: float


async def demo(folder: DataFolder, wish: Wish, environ: Mapping[str, str]) -> int:
    """Do the main job once and show what came of it."""
    began = time.monotonic()
    photos = find_photos(wish.photos) if wish.photos else None  # before anything is started for nothing
    folder.prepare()
    out = _place(wish.out, folder)
    stop = _stop_command(folder, environ)
    try:
        state = await _stack(folder, environ)
        if photos is None:
            photos = copy_demo_photos(folder.path / "photos")
        async with RestClient(state.gateway, folder.api_key) as client:
            job = await _main_job(client, photos, wish, state)
            await client.download(job["result"]["url"], out)
            signed = await client.post(f"/api/v3/videos/{job['id']}/token", {"ttl_s": _PLAYS_FOR_S})
    except asyncio.CancelledError:  # Ctrl-C
        view.errors.print(f"The system goes on without this command, with what it was given. Stop it: {stop}")
        raise
    _show(job, signed["url"], out, state, folder, time.monotonic() - began, stop)
    return 0


async def _main_job(
    client: RestClient, photos: list[Path], wish: Wish, state: StackState
) -> Mapping[str, Any]:
    """Photos up, plan, approve, and follow to the end with live bars; answers the completed job."""
    with view.LiveJob() as live:
        campaign = await _campaign_with(client, photos, wish, live)
        live.step("plan", 0.0, "choosing scenes")
        job = await steps.plan(client, campaign["id"], scenes=wish.scenes, seconds=wish.seconds)
        price = f"about {view.money(job['estimated_cost_cents'])} at {state.provider}"
        live.step("plan", 100.0, f"{len(job['scenes'])} scenes, {price}")
        await steps.approve(client, job)
        async for told in steps.follow(client, job["id"], within=wish.within):
            job = told
            live.show(job, await steps.music_of(client, job))
    if job["status"] != "completed":
        raise Problem(
            f"Job {job['id']} {job['status']}: {view.now(job)}",
            f"See what happened with `rushes jobs {job['id']}`.",
            exit_code=FAILED,
        )
    return job


def _place(out: Path | None, folder: DataFolder) -> Path:
    place = (out or folder.path / "rushes-demo.mp4").expanduser().absolute()
    if place.is_dir() or not place.parent.is_dir():
        raise Problem(
            f"{place} is no place for the video.", "Name a file in a folder that exists with --out."
        )
    return place


async def _stack(folder: DataFolder, environ: Mapping[str, str]) -> StackState:
    """The stack that runs on the folder, if it runs this very code; else a fresh one."""
    state = folder.running()
    if state is not None and state.code != code_fingerprint():
        view.console.print("The running system is of older code; starting it afresh.")
        await down(folder)
        state = None
    if state is not None and state.provider != (wanted := provider_of(environ)):
        raise Problem(  # the one costs real money, the other does not: never take one for the other
            f"The running system uses {state.provider}, and the settings here ask for {wanted}.",
            "Stop it with `rushes down`, or set REPLICATE_API_TOKEN and REPLICATE_BASE_URL as it has them.",
        )
    if state is None:
        with view.busy("starting the system …"):
            state = await start_detached(folder, Options(environ=environ))
    view.console.print(f"system     {state.gateway}", highlight=False, soft_wrap=True)
    return state


async def _campaign_with(
    client: RestClient, photos: list[Path], wish: Wish, live: view.LiveJob
) -> dict[str, Any]:
    name = wish.photos.absolute().name if wish.photos else "Three houses"
    campaign = await steps.open_campaign(client, name)
    live.step("photos", 0.0, f"uploading: 0 of {len(photos)}")
    uploaded = await steps.upload(
        client,
        campaign["id"],
        photos,
        lambda done: live.step("photos", 100.0 * done / len(photos), f"uploading: {done} of {len(photos)}"),
    )
    live.step("photos", 100.0, f"{uploaded.accepted} uploaded")
    for line in uploaded.refused:
        view.errors.print(f"skipped    {line}", highlight=False, markup=False, soft_wrap=True)
    if not uploaded.accepted:
        await steps.close_campaign(client, campaign)
        raise Problem(
            f"None of the {len(photos)} files in {wish.photos} is a photo that can be used.",
            "Use JPEG, PNG, GIF or WebP files of at most 10 MB and 50 megapixels that open in a viewer.",
        )
    return campaign


def _show(
    job: Mapping[str, Any],
    signed: str,
    out: Path,
    state: StackState,
    folder: DataFolder,
    seconds: float,
    stop: str,
) -> None:
    facts = job["result"]["facts"]
    lines = {
        "video": str(out),
        "facts": ", ".join(
            (
                f"{facts['duration_s']:.2f} s",
                f"{facts['width']}x{facts['height']}",
                f"{facts['fps']:g} frames/s",
                " + ".join(facts["codecs"]),
                f"{facts['size_bytes'] / 1e6:.1f} MB",
            )
        ),
        "cost": f"{view.money(job['cost_cents'])} at {state.provider}",
        "took": f"{seconds:.1f} s",
        "play": signed,
        "API": f"{state.gateway}/docs",
        "key": f"in {folder.path}/api-key (send it as X-API-Key)",
        "stop": stop,
    }
    for name, value in lines.items():
        view.console.print(f"{name:<10} {value}", highlight=False, markup=False, soft_wrap=True)


def _stop_command(folder: DataFolder, environ: Mapping[str, str]) -> str:
    """What stops the system, as it has to be typed here: in a fresh checkout `rushes` is on nobody's PATH."""
    program = "rushes" if shutil.which("rushes") else os.path.relpath(sys.argv[0])
    usual = folder.path == DataFolder(default_folder(environ)).path
    return f"{program} down" + ("" if usual else f" --data {shlex.quote(str(folder.path))}")
