"""`rushes up` and `rushes down`: lock a data folder, run its stack, stop it in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

from rushes_cli import output
from rushes_cli.data_folder import DataFolder, StackState
from rushes_cli.errors import FAILED, CommandError
from rushes_cli.stack.services import StackOptions
from rushes_cli.stack.supervisor import Stack
from servicekit.concurrency import first_of

_START_BUDGET = 120.0
"""Seconds for a stack in the background to come up."""
_STOP_BUDGET = 60.0
"""Seconds for a stack to stop: services at once, then the store and the log."""
_POLL_S = 0.1


async def up(folder: DataFolder, options: StackOptions) -> int:
    """Run a stack until SIGINT or SIGTERM, then stop it in order."""
    folder.prepare()
    with folder.lock():
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, stop.set)
        stack = Stack(folder, options, output.line)
        try:
            state = await _start_unless(stop, stack)
            if state is not None:
                output.show_stack(state, str(folder.path))
                output.line("Rushes is up. Ctrl-C stops it.")
                await first_of(stack.supervise(), stop.wait())
        finally:
            output.line("stopping …")
            await stack.stop()
    output.line("stopped")
    return 0


async def _start_unless(stop: asyncio.Event, stack: Stack) -> StackState | None:
    """None: a signal came first."""
    starting = asyncio.ensure_future(stack.start())
    return starting.result() if await first_of(starting, stop.wait()) == 0 else None


async def up_detached(folder: DataFolder, options: StackOptions) -> int:
    state = await start_detached(folder, options)
    output.show_stack(state, str(folder.path))
    output.line("Rushes runs in the background. `rushes down` stops it.")
    return 0


async def start_detached(folder: DataFolder, options: StackOptions) -> StackState:
    """Start `rushes up` as a process of its own; returns once every service serves.

    Raises:
        CommandError: it did not come up; has the end of its output.
    """
    folder.prepare()
    if folder.owner_pid() is not None:
        raise folder.in_use_error()
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
    while (state := folder.running_stack()) is None or state.pid != child.pid:
        if child.poll() is not None:
            raise CommandError(
                f"The stack did not start. It said:\n{log.read_text()[-2000:].strip()}", exit_code=FAILED
            )
        if asyncio.get_running_loop().time() > deadline:
            child.terminate()
            raise CommandError(
                f"The stack was not ready within {_START_BUDGET:g} s.",
                f"Read {folder.logs}.",
                exit_code=FAILED,
            )
        await asyncio.sleep(_POLL_S)
    return state


async def down(folder: DataFolder) -> int:
    """Stop the stack of a data folder, also one that is still starting, and wait until it has ended."""
    owner = folder.owner_pid()
    if owner is None:
        output.line(f"No Rushes stack runs on {folder.path}.")
        return 0
    output.line("stopping …")
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(owner, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + _STOP_BUDGET
    while folder.owner_pid() == owner:
        if asyncio.get_running_loop().time() > deadline:
            raise CommandError(
                f"The stack (process {owner}) has not stopped within {_STOP_BUDGET:g} s.",
                f"Read {folder.logs}.",
                exit_code=FAILED,
            )
        await asyncio.sleep(_POLL_S)
    output.line("stopped")
    return 0
