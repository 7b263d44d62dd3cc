"""Runs a real S3 store for tests: own folder, free ports, killed and restarted at will."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from servicekit.embedded.s3 import S3Server


class S3Fixture:
    """A running S3 store and its keys."""

    def __init__(self, server: S3Server) -> None:
        self.server = server

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:<port>`; the same after a restart."""
        return self.server.endpoint

    @property
    def access_key(self) -> str:
        return self.server.access_key

    @property
    def secret_key(self) -> str:
        return self.server.secret_key

    async def kill(self) -> None:
        """End it as `kill -9` does; its folder stays."""
        self.server.kill()

    async def restart(self) -> None:
        """Kill it when it runs, and start it again on the same port with its data."""
        self.server.kill()
        await self.server.start()


@asynccontextmanager
async def s3_store() -> AsyncIterator[S3Fixture]:
    """Run SeaweedFS in a temporary folder (starts in about 0.8 s)."""
    with tempfile.TemporaryDirectory(prefix="rushes-s3-", ignore_cleanup_errors=True) as folder:
        server = S3Server(Path(folder))
        try:
            await server.start()
            yield S3Fixture(server)
        finally:
            server.kill()
