"""Runs decoders in processes of their own, so that a file that crashes or stalls one takes nothing else
down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import structlog

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from mediakit.facts import Facts
from mediakit.formats import Format, Kind
from servicekit.errors import Unavailable

_WORKER = "downloader.adapters.media.probe_worker"
READY = b"ready"
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""glibc gives threads heaps of their own, and what a decoder's threads leave in theirs does not return to the
system (measured: 2 to 4 MB a film). With one heap they wait for each other, but seldom."""
LOAD_S = 30.0
"""To import the decoders."""

_KILLED = frozenset(-number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
"""Statuses of a process that was killed from outside: by the kernel for want of memory, or by a person. That
says nothing about the file. A decoder that crashes ends by another signal (SEGV, ABRT, BUS, FPE, ILL)."""


class _DecoderKilled(Exception):  # noqa: N818  # what happened, and no error of anybody here
    pass


class ProbePool:
    """A Part, and `core.fetching.ports.Prober`: processes that wait for files, because importing the decoders
    takes longer than using them.

    Args:
        workers: processes, hence files probed at once.
        timeout_s: seconds after which a file counts as one that cannot be decoded.
    """

    def __init__(self, workers: int = 2, *, timeout_s: float = 60.0) -> None:
        self._workers = workers
        self._timeout_s = timeout_s
        # Last in, first out: the second process takes memory only when two files are there at once.
        self._idle: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()
        self._all: set[Process] = set()
        self._loaded: set[Process] = set()
        self._is_stopped = False
        self._log = structlog.get_logger(__name__)

    async def start(self) -> None:
        """Start the processes. They load while the rest of the service starts."""
        self._is_stopped = False
        for _ in range(self._workers):
            self._idle.put_nowait(await self._spawn())

    async def stop(self) -> None:
        self._is_stopped = True
        for process in list(self._all):
            await self._kill(process)
        self._idle = asyncio.LifoQueue()

    async def probe(self, path: Path, container: Format, *, start_decoded: bool = False) -> Facts:
        response = await self._call(path, container, start_decoded=start_decoded)
        if "error" in response:
            raise FetchError(ErrorCode[response["error"]], response["message"])
        kind, codecs = Kind(response["kind"]), tuple(response["codecs"])
        return Facts(**{**response, "kind": kind, "codecs": codecs})

    async def start_decodes(self, path: Path, container: Format) -> bool:
        """False also when no process is idle: whole files go first."""
        if self._idle.empty():
            return False
        try:
            response = await self._call(path, container, incomplete=True)
        except (FetchError, Unavailable):
            return False  # whatever it is, it shows again when the whole file is there
        return bool(response.get("start_decodes"))

    async def _call(
        self, path: Path, container: Format, *, start_decoded: bool = False, incomplete: bool = False
    ) -> dict[str, Any]:
        """The response of a process. FetchError: it died of the file.

        Unavailable: none starts, or a second one was killed after the first.
        """
        request = {
            "path": str(path),
            "extension": container.extension,
            "start_decoded": start_decoded,
            "incomplete": incomplete,
        }
        for _ in range(2):
            if self._is_stopped:
                break
            with contextlib.suppress(_DecoderKilled):
                return await self._call_idle(request)
        raise Unavailable("the decoder was killed while it checked a file: is there too little memory?")

    async def _call_idle(self, request: dict[str, object]) -> dict[str, Any]:
        idle = self._idle
        process = await idle.get()
        try:
            if process is None or process.returncode is not None:
                process = await self._spawn()
            await self._wait_until_loaded(process)
            response = await self._exchange(process, request)
        except BaseException:
            # Cancelled or failed in the middle: the response that it may still write belongs to no one.
            if process is not None:
                await self._kill(process)
            idle.put_nowait(None)
            raise
        idle.put_nowait(process)
        return response

    async def _wait_until_loaded(self, process: Process) -> None:
        """A process that dies before it has seen a file says nothing about a file: Unavailable."""
        if process in self._loaded or process.stdout is None:
            return
        try:
            async with asyncio.timeout(LOAD_S):
                line = await process.stdout.readline()
                if not line:
                    await process.wait()
        except TimeoutError:
            line = b""
        if line.strip() != READY:
            self._raise_if_killed(process)
            raise Unavailable(f"no decoder starts: run python -m {_WORKER} 60")
        self._loaded.add(process)

    async def _exchange(self, process: Process, request: dict[str, object]) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("probe workers are started with pipes")
        line = b""
        try:
            async with asyncio.timeout(self._timeout_s):
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(json.dumps(request).encode() + b"\n")
                    await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError as error:
            self._log.warning("decoder stopped: it took too long", seconds=self._timeout_s)
            message = f"decoding it was not done within {self._timeout_s:g} seconds"
            raise FetchError(ErrorCode.UNDECODABLE, message) from error
        if not line.endswith(b"\n"):
            status = await process.wait()
            self._log.warning("decoder died", status=status)
            self._raise_if_killed(process)
            raise FetchError(ErrorCode.UNDECODABLE, f"the decoder died of it (status {status})")
        response: dict[str, Any] = json.loads(line)
        return response

    @staticmethod
    def _raise_if_killed(process: Process) -> None:
        if process.returncode in _KILLED:
            raise _DecoderKilled

    async def _spawn(self) -> Process:
        # -I and a bare environment: a process that decodes other people's files must know no secret of ours.
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", _WORKER, str(int(self._timeout_s) + 5)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)} | ONE_HEAP,
                start_new_session=True,  # Ctrl-C is for the service, which stops its workers itself
            )
        except OSError as error:
            raise Unavailable(f"cannot start a decoder process: {error.strerror or error}") from error
        self._all.add(process)
        return process

    async def _kill(self, process: Process) -> None:
        self._all.discard(process)
        self._loaded.discard(process)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
