"""`rushes demo`: does the main job, from photos to a playing cut, on a stack of this machine or elsewhere."""

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
from urllib.parse import urljoin

from rushes_cli import demo_flow, output
from rushes_cli.commands.up import down, start_detached
from rushes_cli.data_folder import DataFolder, StackState, default_folder
from rushes_cli.errors import FAILED, CommandError
from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.photo_files import copy_demo_photos, find_photos
from rushes_cli.rest_client import RestClient
from rushes_cli.stack.services import StackOptions, provider_of

_PLAYS_FOR_S = 86_400
"""Seconds for which the printed address plays the cut in a browser without a key."""


@dataclass(frozen=True)
class DemoRequest:
    photos: Path | None
    """A folder; None for the shipped ones."""
    out: Path | None
    """Where the video goes; None for the data folder."""
    scenes: int
    seconds: float
    within: float
    at: str = ""
    """The REST address of a system that runs elsewhere; empty: the one of the data folder."""


@dataclass(frozen=True)
class _System:
    """Where the job is done."""

    gateway: str
    api_key: str
    payee: str
    """After a price: " at …", or "" where it is not known."""
    notes: Mapping[str, str]
    """What else is shown at the end."""


async def demo(folder: DataFolder, request: DemoRequest, environ: Mapping[str, str]) -> int:
    began = time.monotonic()
    photos = find_photos(request.photos) if request.photos else None  # first: an error costs no start
    folder.prepare()
    out = _target(request.out, folder)
    try:
        system = _elsewhere(request.at, environ) if request.at else await _here(folder, environ)
        if photos is None:
            photos = copy_demo_photos(folder.path / "photos")
        async with RestClient(system.gateway, system.api_key) as client:
            job = await _main_job(client, photos, request, system.payee)
            await client.download(job["result"]["url"], out)
            signed = await client.post(f"/api/v3/videos/{job['id']}/token", {"ttl_s": _PLAYS_FOR_S})
    except asyncio.CancelledError:  # Ctrl-C
        text = "The system goes on without this command, with what it was given."
        stop = "" if request.at else f" Stop it: {_stop_command(folder, environ)}"
        output.line(text + stop, to=output.error_console)
        raise
    _show(job, signed["url"], out, system, time.monotonic() - began)
    return 0


def _elsewhere(address: str, environ: Mapping[str, str]) -> _System:
    if not environ.get("RUSHES_API_KEY"):
        raise CommandError(
            f"The system at {address} asks for an API key, and RUSHES_API_KEY is not set.",
            "Set it to a key of that system that may create jobs.",
        )
    return _System(address.rstrip("/"), environ["RUSHES_API_KEY"], "", {})


async def _here(folder: DataFolder, environ: Mapping[str, str]) -> _System:
    state = await _stack(folder, environ)
    notes = {
        "key": f"in {folder.path}/api-key (send it as X-API-Key)",
        "stop": _stop_command(folder, environ),
    }
    return _System(state.gateway, folder.api_key, f" at {state.provider}", notes)


async def _main_job(
    client: RestClient, photos: list[Path], request: DemoRequest, payee: str
) -> Mapping[str, Any]:
    """Upload, plan, approve, and follow with live bars; returns the completed job."""
    with output.LiveJob() as live:
        campaign = await _campaign_with(client, photos, request, live)
        live.step("plan", 0.0, "choosing scenes")
        job = await demo_flow.plan(client, campaign["id"], scenes=request.scenes, seconds=request.seconds)
        price = f"about {output.money(job['estimated_cost_cents'])}{payee}"
        live.step("plan", 100.0, f"{len(job['scenes'])} scenes, {price}")
        await demo_flow.approve(client, job)
        async for latest in demo_flow.follow(client, job["id"], within=request.within):
            job = latest
            live.show(job, await demo_flow.music_of(client, job))
    if job["status"] != "completed":
        raise CommandError(
            f"Job {job['id']} {job['status']}: {output.now(job)}",
            f"See what happened with `rushes jobs {job['id']}`.",
            exit_code=FAILED,
        )
    return job


def _target(out: Path | None, folder: DataFolder) -> Path:
    target = (out or folder.path / "rushes-demo.mp4").expanduser().absolute()
    if target.is_dir() or not target.parent.is_dir():
        raise CommandError(
            f"{target} is no place for the video.", "Name a file in a folder that exists with --out."
        )
    return target


async def _stack(folder: DataFolder, environ: Mapping[str, str]) -> StackState:
    """The stack that runs on the folder, if it runs this code; else a new one."""
    state = folder.running_stack()
    if state is not None and state.code != code_fingerprint():
        output.line("The running system is of older code; starting it afresh.")
        await down(folder)
        state = None
    if state is not None and state.provider != (wanted := provider_of(environ)):
        raise CommandError(  # one of them costs real money
            f"The running system uses {state.provider}, and the settings here ask for {wanted}.",
            "Stop it with `rushes down`, or set REPLICATE_API_TOKEN and REPLICATE_BASE_URL as it has them.",
        )
    if state is None:
        with output.busy("starting the system …"):
            state = await start_detached(folder, StackOptions(environ=environ))
    output.line(f"system     {state.gateway}")
    return state


async def _campaign_with(
    client: RestClient, photos: list[Path], request: DemoRequest, live: output.LiveJob
) -> dict[str, Any]:
    name = request.photos.absolute().name if request.photos else "Three houses"
    campaign = await demo_flow.open_campaign(client, name)
    live.step("photos", 0.0, f"uploading: 0 of {len(photos)}")
    uploaded = await demo_flow.upload(
        client,
        campaign["id"],
        photos,
        lambda done: live.step("photos", 100.0 * done / len(photos), f"uploading: {done} of {len(photos)}"),
    )
    live.step("photos", 100.0, f"{uploaded.accepted} uploaded")
    for each in uploaded.refused:
        output.line(f"skipped    {each}", to=output.error_console)
    if not uploaded.accepted:
        await demo_flow.close_campaign(client, campaign)
        raise CommandError(
            f"None of the {len(photos)} files in {request.photos} is a photo that can be used.",
            "Use JPEG, PNG, GIF or WebP files of at most 10 MB and 50 megapixels that open in a viewer.",
        )
    return campaign


def _show(job: Mapping[str, Any], signed: str, out: Path, system: _System, seconds: float) -> None:
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
        "cost": f"{output.money(job['cost_cents'])}{system.payee}",
        "took": f"{seconds:.1f} s",
        "play": urljoin(system.gateway, signed),
        "API": f"{system.gateway}/docs",
        **system.notes,
    }
    for name, value in lines.items():
        output.line(f"{name:<10} {value}")


def _stop_command(folder: DataFolder, environ: Mapping[str, str]) -> str:
    """The command that stops the system, as it can be typed here: `rushes` may not be on the PATH."""
    program = "rushes" if shutil.which("rushes") else os.path.relpath(sys.argv[0])
    is_default = folder.path == DataFolder(default_folder(environ)).path
    return f"{program} down" + ("" if is_default else f" --data {shlex.quote(str(folder.path))}")
