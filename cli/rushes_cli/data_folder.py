"""Manages the data folder of a local stack: its files, its secrets, and the lock of a running stack."""

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

from rushes_cli.errors import CommandError

_NEEDED_BYTES = 500 * 1024 * 1024
"""Free space that a stack needs to start: for a few jobs with their clips and cuts."""

_LOCK_TIMEOUT_S = 1.0
"""Seconds to wait for the lock: `owner_pid` of other commands takes it for a moment."""


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
    """What a running stack writes about itself into `stack.json`."""

    pid: int
    gateway: str
    """Base address of the REST interface, without a slash at the end."""
    code: str
    """Fingerprint of the code that it runs."""
    provider: str
    """`sandbox`, or the address of the real provider."""
    processes: list[ProcessState] = field(default_factory=list)


class DataFolder:
    """Nothing is made in the folder before `prepare()`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        return self.path / "stack.json"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            CommandError: it cannot be made or written, or the disk is nearly full.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_bytes(b"?")
            probe.unlink()
        except OSError as error:
            raise CommandError(
                f"The data folder {self.path} cannot be written: {error.strerror or error}.",
                "Name another one with --data or RUSHES_DATA, or give yourself the right to write there.",
            ) from error
        disk = os.statvfs(self.path)
        free = disk.f_bavail * disk.f_frsize
        if free < _NEEDED_BYTES:
            raise CommandError(
                f"The data folder {self.path} has {free / 1e6:.0f} MB of free space, "
                f"and Rushes needs {_NEEDED_BYTES / 1e6:.0f} MB.",
                "Free some space, or name a folder on another disk with --data or RUSHES_DATA.",
            )
        self.logs.mkdir(exist_ok=True)

    def secret(self, name: str, *, prefix: str = "") -> str:
        """The secret of that name, made at its first use, readable by its owner only."""
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
        """The admin key, made at the first start."""
        return self.secret("api-key", prefix="rsh_")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder: two stacks on one folder would damage the database.

        Raises:
            CommandError: another stack runs on it.
        """
        with (self.path / "lock").open("a+") as lock:
            if not _take_lock(lock, fcntl.LOCK_EX, within=_LOCK_TIMEOUT_S):
                raise self.in_use_error()
            # A stack that was killed has left both, and they would look like ours.
            self.state_file.unlink(missing_ok=True)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                yield
            finally:
                self.state_file.unlink(missing_ok=True)
                lock.truncate(0)

    def owner_pid(self) -> int | None:
        """The process that has locked the folder, also while its stack starts or stops; None: none has."""
        try:
            with (self.path / "lock").open("r") as lock:
                if _take_lock(lock, fcntl.LOCK_SH):
                    return None
                return int(lock.read())
        except (FileNotFoundError, PermissionError, ValueError):  # it was locked, or unlocked, just now
            return None

    def running_stack(self) -> StackState | None:
        """The state of the stack that runs on this folder; None: none runs, or it is starting."""
        owner = self.owner_pid()
        if owner is None:  # the file is of a stack that was killed
            return None
        try:
            stored = json.loads(self.state_file.read_text())
        except (FileNotFoundError, PermissionError, json.JSONDecodeError):
            return None
        state = StackState(**{**stored, "processes": [ProcessState(**each) for each in stored["processes"]]})
        return state if state.pid == owner else None

    def in_use_error(self) -> CommandError:
        """The error for a command that wants to start a second stack."""
        state, owner = self.running_stack(), self.owner_pid()
        where = (
            f" (process {state.pid}, {state.gateway})" if state else f" (process {owner})" if owner else ""
        )
        return CommandError(
            f"A Rushes stack already runs on {self.path}{where}.",
            "Stop it with `rushes down`, or start another one with --data.",
        )

    def write_state(self, state: StackState) -> None:
        """Replace `stack.json` in one step: a reader never sees half of it."""
        temporary = self.state_file.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(state), indent=2))
        temporary.replace(self.state_file)


def _take_lock(file: IO[str], kind: int, *, within: float = 0.0) -> bool:
    """Try for `within` seconds to lock: exclusively, or shared to find out that nobody has it exclusively."""
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
