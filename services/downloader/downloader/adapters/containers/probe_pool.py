"""Decoders in processes of their own, so that a file that crashes or stalls one takes nothing else down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import structlog

from downloader.core.containers.domain import Container, Kind, Measured
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from servicekit.errors import Unavailable

_WORKER = "downloader.adapters.containers.probe_worker"
READY = b"ready"
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""glibc gives threads heaps of their own, and what a decoder's threads leave in theirs does not go back to
the system (measured: 2 to 4 MB a film). They take their pictures from one heap here, and seldom at once."""
LOAD_S = 30.0


class ProbePool:
    """A Part: `workers` processes that wait for files (importing the decoders takes longer than using them).

    Args:
        workers: processes, hence files probed at once.
        timeout_s: seconds after which a file counts as one that cannot be decoded.
    """

    def __init__(self, workers: int = 2, *, timeout_s: float = 60.0) -> None:
        self._workers = workers
        self._timeout_s = timeout_s
        # Last in, first out: a second process grows only when two files are there at once.
        self._idle: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()
        self._all: set[Process] = set()
        self._loaded: set[Process] = set()
        self._log = structlog.get_logger(__name__)

    async def start(self) -> None:
        """Start the processes; they load while the rest of the service starts."""
        for _ in range(self._workers):
            self._idle.put_nowait(await self._spawn())

    async def stop(self) -> None:
        """End the processes."""
        for process in list(self._all):
            await self._end(process)
        self._idle = asyncio.LifoQueue()

    async def probe(self, path: Path, container: Container, *, begun: bool = False) -> Measured:
        """What the file holds; see `core.ports.Prober`."""
        answer = await self._answer(path, container, begun=begun)
        if "code" in answer:
            raise FetchFailed(Code(answer["code"]), answer["message"])
        return Measured(
            kind=Kind(answer["kind"]),
            duration_s=answer["duration_s"],
            width=answer["width"],
            height=answer["height"],
            fps=answer["fps"],
            codecs=tuple(answer["codecs"]),
        )

    async def begins_well(self, path: Path, container: Container) -> bool:
        """See `core.ports.Prober`. False when no process is idle: whole files go first."""
        if self._idle.empty():
            return False
        try:
            answer = await self._answer(path, container, incomplete=True)
        except (FetchFailed, Unavailable):
            return False  # whatever it is, it shows again when the whole is there
        return bool(answer.get("begins"))

    async def _answer(
        self, path: Path, container: Container, *, begun: bool = False, incomplete: bool = False
    ) -> dict[str, Any]:
        """What an idle process says to it. FetchFailed, when it dies of it; Unavailable, when none starts."""
        question = {
            "path": str(path),
            "extension": container.extension,
            "begun": begun,
            "incomplete": incomplete,
        }
        idle = self._idle
        process = await idle.get()
        try:
            if process is None or process.returncode is not None:
                process = await self._spawn()
            await self._ready(process)
            answer = await self._ask(process, question)
        except BaseException:
            # Cancelled or failed in the middle: what it would still say belongs to no one.
            if process is not None:
                await self._end(process)
            idle.put_nowait(None)
            raise
        idle.put_nowait(process)
        return answer

    async def _ready(self, process: Process) -> None:
        """Wait until it has loaded. What dies before it has seen a file is no file's fault."""
        if process in self._loaded or process.stdout is None:
            return
        try:
            async with asyncio.timeout(LOAD_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if line.strip() != READY:
            raise Unavailable(
                "no decoder starts: run python -m downloader.adapters.containers.probe_worker 60"
            )
        self._loaded.add(process)

    async def _ask(self, process: Process, question: dict[str, object]) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("probe workers are started with pipes")
        line = b""
        try:
            async with asyncio.timeout(self._timeout_s):
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(json.dumps(question).encode() + b"\n")
                    await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError as error:
            self._log.warning("decoder stopped: it took too long", seconds=self._timeout_s)
            raise FetchFailed(
                Code.UNDECODABLE, f"decoding it was not done within {self._timeout_s:g} seconds"
            ) from error
        if not line.endswith(b"\n"):
            status = await process.wait()
            self._log.warning("decoder died", status=status)
            raise FetchFailed(Code.UNDECODABLE, f"the decoder died of it (status {status})")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _spawn(self) -> Process:
        # -I and a bare environment: what reads strangers' files shall know no secret of ours.
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", _WORKER, str(int(self._timeout_s) + 5)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)} | ONE_HEAP,
                start_new_session=True,  # Ctrl-C is for the service, which ends its workers itself
            )
        except OSError as error:
            raise Unavailable(f"cannot start a decoder process: {error.strerror or error}") from error
        self._all.add(process)
        return process

    async def _end(self, process: Process) -> None:
        self._all.discard(process)
        self._loaded.discard(process)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
