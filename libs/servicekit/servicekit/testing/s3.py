"""Runs a real S3 store for tests: own folder, free ports, killed and restarted at will."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from servicekit.embedded.s3 import S3Server


@asynccontextmanager
async def s3_store() -> AsyncIterator[S3Server]:
    """Run SeaweedFS in a temporary folder (starts in about 0.8 s).

    `kill()` ends it as a crash does, `start()` starts it again with its port and data.
    """
    with tempfile.TemporaryDirectory(prefix="rushes-s3-", ignore_cleanup_errors=True) as folder:
        server = S3Server(Path(folder))
        try:
            await server.start()
            yield server
        finally:
            server.kill()
