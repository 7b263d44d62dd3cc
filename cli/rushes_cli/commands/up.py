"""`rushes up` and `rushes down`: hold a data folder, run its stack, stop it in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

from rushes_cli import view
from rushes_cli.folder import DataFolder, StackState
from rushes_cli.problems import FAILED, Problem
from rushes_cli.rest import RestClient
from rushes_cli.stack.services import Options
from rushes_cli.stack.supervisor import Stack

_START_BUDGET = 120.0
"""Seconds for a stack in the background to come up."""
_STOP_BUDGET = 60.0
"""Seconds for a stack to stop: services at once, then the store and the log."""
_LOOK = 0.1


async def up(folder: DataFolder, options: Options) -> int:
    """Run a stack until SIGINT or SIGTERM, then drain it."""
    folder.prepare()
    with folder.held():
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, stop.set)
        stack = Stack(folder, options, lambda line: view.console.print(line, highlight=False, soft_wrap=True))
        try:
            state = await _start_unless(stop, stack)
            if state is not None:
                view.show_stack(state, str(folder.path))
                view.console.print("Rushes is up. Ctrl-C stops it.")
                await _supervise_until(stop, stack)
        finally:
            view.console.print("stopping …")
            await stack.stop()
    view.console.print("stopped")
    return 0


async def _start_unless(stop: asyncio.Event, stack: Stack) -> StackState | None:
    """Start, unless a signal comes first."""
    starting = asyncio.ensure_future(stack.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        stopping.cancel()
        return starting.result()
    starting.cancel()
    return None


async def _supervise_until(stop: asyncio.Event, stack: Stack) -> None:
    supervising = asyncio.ensure_future(stack.supervise())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({supervising, stopping}, return_when=asyncio.FIRST_COMPLETED)
    supervising.cancel()


async def up_detached(folder: DataFolder, options: Options) -> int:
    """Start a stack in the background and show where it is."""
    state = await start_detached(folder, options)
    view.show_stack(state, str(folder.path))
    view.console.print("Rushes runs in the background. `rushes down` stops it.")
    return 0


async def start_detached(folder: DataFolder, options: Options) -> StackState:
    """Start `rushes up` as a process of its own and answer once every service serves.

    Raises:
        Problem: it did not come up; carries what it said.
    """
    folder.prepare()
    if folder.holder() is not None:
        raise folder.taken()
    log = folder.logs / "up.log"
    argv = [sys.executable, "-m", "rushes_cli", "up", "--data", str(folder.path), "--port", str(options.port)]
    argv += [part for name, n in options.replicas.items() for part in ("--replicas", f"{name}={n}")]
    with log.open("wb") as out:
        child = subprocess.Popen(  # noqa: ASYNC220  # it outlives this loop; asyncio's own would be ended with it
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=dict(options.environ),
        )
    deadline = asyncio.get_running_loop().time() + _START_BUDGET
    while (state := folder.running()) is None or state.pid != child.pid:
        if child.poll() is not None:
            raise Problem(
                f"The stack did not start. It said:\n{log.read_text()[-2000:].strip()}", exit_code=FAILED
            )
        if asyncio.get_running_loop().time() > deadline:
            child.terminate()
            raise Problem(
                f"The stack was not ready within {_START_BUDGET:g} s.",
                f"Read {folder.logs}.",
                exit_code=FAILED,
            )
        await asyncio.sleep(_LOOK)
    return state


async def down(folder: DataFolder) -> int:
    """Stop the stack of a data folder, also one that is still starting, and wait until it is gone."""
    holder = folder.holder()
    if holder is None:
        view.console.print(f"No Rushes stack runs on {folder.path}.", soft_wrap=True)
        return 0
    view.console.print("stopping …")
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(holder, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + _STOP_BUDGET
    while folder.holder() == holder:
        if asyncio.get_running_loop().time() > deadline:
            raise Problem(f"The stack (process {holder}) has not stopped within {_STOP_BUDGET:g} s.",
                          f"Read {folder.logs}.", exit_code=FAILED)  # fmt: skip
        await asyncio.sleep(_LOOK)
    view.console.print("stopped")
    return 0


def connect(folder: DataFolder) -> RestClient:
    """A client of the stack that runs on a data folder.

    Raises:
        Problem: none runs.
    """
    state = folder.running()
    if state is None and (holder := folder.holder()) is not None:
        raise Problem(
            f"The Rushes stack on {folder.path} (process {holder}) is starting or stopping.",
            "Try again in a moment.",
            exit_code=FAILED,
        )
    if state is None:
        raise Problem(
            f"No Rushes stack runs on {folder.path}.",
            "Start one with `rushes up`, or name its folder with --data.",
        )
    return RestClient(state.gateway, folder.api_key)
