"""Runs a real S3 store for tests: own folder, free ports, killed and restarted at will."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from servicekit.embedded.s3 import S3Server

S3Fixture = S3Server
"""A store of a test: `kill()` ends it as a crash does, `start()` starts it again with its port and data."""


@asynccontextmanager
async def s3_store() -> AsyncIterator[S3Fixture]:
    """Run SeaweedFS in a temporary folder (starts in about 0.8 s)."""
    with tempfile.TemporaryDirectory(prefix="rushes-s3-", ignore_cleanup_errors=True) as folder:
        server = S3Server(Path(folder))
        try:
            await server.start()
            yield server
        finally:
            server.kill()
