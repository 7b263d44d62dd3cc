"""Runs a server as a child process: spawned in its own session, awaited until ready, ended in time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from servicekit.errors import Unavailable
from servicekit.process.die_with_parent import die_with_parent

_POLL = 0.02
"""Seconds between two checks of a child that starts or ends."""

_LOG_BYTES = 16 * 1024 * 1024
"""Size above which a log is renamed when its process is started again."""

_PORTS = range(20_000, 32_000)
"""Below Linux' ephemeral range (32768…): no outgoing connection takes a port between stop and restart."""


_reserved: set[int] = set()
"""Ports that this process has reserved."""


def remembered_port(path: Path) -> int:
    """The port that the file `path` names, when it can be reserved now; else a fresh one, written there.

    So an address that somebody has bookmarked still works after a restart.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        port = int(path.read_text())
        if port in range(1, 65_536) and reserve_port(port):
            return port
    port = free_port()
    path.write_text(f"{port}\n")
    return port


def free_port(*, also: Sequence[int] = (0,)) -> int:
    """Reserve a port of 127.0.0.1, each time another; `also` are offsets from it that are reserved too."""
    for _ in range(200):
        port = random.choice(_PORTS) - max(also)  # noqa: S311  # spreads test runs apart, guards nothing
        wanted = {port + offset for offset in also}
        if not wanted & _reserved and all(map(reserve_port, wanted)):
            return port
    raise Unavailable(
        f"no free port of 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}: stop what uses them"
    )


def reserve_port(port: int) -> bool:
    """Keep the port for a server of ours until this process ends; False: another process has it.

    Until the server listens, other processes that look for a port find this one free. So they also look at
    the locks on a file that they share, one byte for each port; a lock dies with its process.
    """
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # which one depends on the system
        return False
    _reserved.add(port)
    return _bindable(port)


@cache
def _reservations() -> int:
    path = Path(tempfile.gettempdir(), f"rushes-ports-{os.getuid()}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def first_line(port: int, request: bytes = b"") -> bytes:
    """The first line that the server on that port of 127.0.0.1 sends; empty when there is none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    try:
        writer.write(request)
        return await reader.readline()
    except OSError:
        return b""
    finally:
        writer.close()


def find_binary(name: str, package: str) -> str:
    """The path of a console binary: beside this interpreter (where pip puts it), else on PATH."""
    beside = Path(sys.executable).parent / name
    if beside.is_file():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is neither beside {sys.executable} nor on PATH: pip install {package}")
    return found


class ServerProcess:
    """A child process that serves, with its output in one log file.

    A log from before our own start is renamed to `….log.1`; so is one that has grown too large when the child
    is started again.

    Attributes:
        stop_budget: seconds to end in order, before it is killed.
        stop_signal: what asks it to end.
    """

    stop_budget: ClassVar[float] = 5.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._child: subprocess.Popen[bytes] | None = None
        self._log_begun = False

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._child.pid if self.is_alive and self._child else None

    @property
    def is_alive(self) -> bool:
        """Whether the child runs right now."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the child has ended: 0 in order, negative by that signal; None while it lives."""
        return self._child.poll() if self._child is not None else None

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        """Start the child in its own session: Ctrl-C reaches us alone, and we stop it in order."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._begin_log()
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                # Another user may not be able to run our interpreter, and so not the launcher.
                list(argv) if user else die_with_parent(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                user=user,
                cwd=self.log_path.parent,
                start_new_session=True,
            )

    async def ready(self, check: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Wait until `check` answers true.

        Raises:
            Unavailable: the child died or is not ready `within` seconds; carries the end of its log.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not await check():
            if not self.is_alive:
                raise Unavailable(
                    f"{self.name} ended at its start; {self.log_path} ends with:\n{self.tail()}"
                )
            if loop.time() > deadline:
                raise Unavailable(
                    f"{self.name} is not ready after {within:g} s; {self.log_path} ends with:\n{self.tail()}"
                )
            await asyncio.sleep(_POLL)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL), and reap it."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    async def stop(self, *, within: float | None = None) -> None:
        """End it in order, or kill it when its budget is over. Fine when it never ran or has ended."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(self.stop_signal)
        budget = self.stop_budget if within is None else within
        deadline = asyncio.get_running_loop().time() + budget
        # A child process sets no asyncio.Event, and Popen (unlike asyncio's) outlives any one event loop.
        while self.is_alive and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  # see above
            await asyncio.sleep(_POLL)
        self.kill()

    def tail(self, characters: int = 1500) -> str:
        """The end of its log."""
        with contextlib.suppress(FileNotFoundError), self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4 * characters))  # UTF-8: four bytes at most
            return log.read().decode(errors="replace")[-characters:].strip()
        return ""

    def _begin_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not self._log_begun or self.log_path.stat().st_size > _LOG_BYTES:
                self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
        self._log_begun = True
