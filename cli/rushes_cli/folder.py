"""The one data folder of a local stack: what lies where in it, its secrets, and who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from rushes_cli.problems import Problem

_NEEDED_BYTES = 500 * 1024 * 1024
"""Free space below which a stack does not start: a few jobs with their clips and cuts."""


_LOOKING = 1.0
"""Seconds for which others who only look whether a stack runs may hold the lock, all together."""


@dataclass(frozen=True)
class ProcessState:
    """One process of a running stack."""

    name: str
    pid: int
    address: str
    """Where it serves, for people: an address or `host:port`."""
    health: str
    """gRPC address of its health service; empty for the log and the store."""
    restarts: int = 0
    metrics: str = ""
    """Address of what it counts, for Prometheus; empty for the log and the store."""


@dataclass(frozen=True)
class StackState:
    """What a running stack tells about itself in `stack.json`."""

    pid: int
    gateway: str
    """Base address of the REST interface, without a slash at the end."""
    code: str
    """Fingerprint of the code it was started from."""
    provider: str
    """`sandbox`, or the address of the real provider."""
    processes: list[ProcessState] = field(default_factory=list)


class DataFolder:
    """Paths and secrets inside one folder. Nothing is made before `prepare()`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        """Where a running stack tells about itself."""
        return self.path / "stack.json"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            Problem: it cannot be made or written, or the disk is nearly full.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_bytes(b"?")
            probe.unlink()
        except OSError as error:
            raise Problem(
                f"The data folder {self.path} cannot be written: {error.strerror or error}.",
                "Name another one with --data or RUSHES_DATA, or give yourself the right to write there.",
            ) from error
        disk = os.statvfs(self.path)
        free = disk.f_bavail * disk.f_frsize
        if free < _NEEDED_BYTES:
            raise Problem(
                f"The data folder {self.path} has {free / 1e6:.0f} MB of free space, "
                f"and Rushes needs {_NEEDED_BYTES / 1e6:.0f} MB.",
                "Free some space, or name a folder on another disk with --data or RUSHES_DATA.",
            )
        self.logs.mkdir(exist_ok=True)

    def secret(self, name: str, *, prefix: str = "") -> str:
        """The secret of that name, made at its first use and readable by its owner alone."""
        path = self.path / name
        if path.exists():
            return path.read_text().strip()
        value = prefix + secrets.token_urlsafe(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(value + "\n")
        return value

    @property
    def api_key(self) -> str:
        """The key that may do everything, made at the first start."""
        return self.secret("api-key", prefix="rsh_")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder: two stacks on one folder would fight over the database and the ports.

        Raises:
            Problem: another stack runs on it.
        """
        with (self.path / "lock").open("a+") as lock:
            if not _lock(lock, fcntl.LOCK_EX, within=_LOOKING):
                raise self.taken()
            # One that was killed has left both behind, and they would be taken for ours.
            self.state_file.unlink(missing_ok=True)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                yield
            finally:
                self.state_file.unlink(missing_ok=True)
                lock.truncate(0)

    def holder(self) -> int | None:
        """The process that holds the folder, also while its stack starts or stops; None when nobody does."""
        try:
            with (self.path / "lock").open("r") as lock:
                if _lock(lock, fcntl.LOCK_SH):
                    return None
                return int(lock.read())
        except (FileNotFoundError, PermissionError, ValueError):  # it holds it since, or until, this moment
            return None

    def running(self) -> StackState | None:
        """What the stack that runs on this folder tells about itself; None when none runs, or not yet."""
        holder = self.holder()
        if holder is None:  # what the file says is of a stack that died
            return None
        try:
            told = json.loads(self.state_file.read_text())
        except (FileNotFoundError, PermissionError, json.JSONDecodeError):
            return None
        state = StackState(**{**told, "processes": [ProcessState(**each) for each in told["processes"]]})
        return state if state.pid == holder else None

    def taken(self) -> Problem:
        """What to tell whoever wants to start a stack on a folder that has one."""
        state, holder = self.running(), self.holder()
        where = (
            f" (process {state.pid}, {state.gateway})" if state else f" (process {holder})" if holder else ""
        )
        return Problem(
            f"A Rushes stack already runs on {self.path}{where}.",
            "Stop it with `rushes down`, or start another one with --data.",
        )

    def tell(self, state: StackState) -> None:
        """Write what a running stack tells about itself, whole or not at all."""
        fresh = self.state_file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state), indent=2))
        fresh.replace(self.state_file)


def _lock(file: IO[str], kind: int, *, within: float = 0.0) -> bool:
    """Take the lock, trying again for `within` seconds: alone to hold it, shared to see that nobody does."""
    deadline = time.monotonic() + within
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def default_folder(environ: Mapping[str, str]) -> Path:
    """`RUSHES_DATA`, or `.rushes` in the current folder."""
    return Path(environ.get("RUSHES_DATA") or ".rushes")
