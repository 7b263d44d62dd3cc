"""Removes what an S3 store that was killed has left behind."""

from __future__ import annotations

import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path

_PORT = re.compile(r"^(\w+)\.port(?:\.grpc)?=(\d+)$", re.MULTILINE)
_ADMIN_GRPC = 10_000
"""Weed adds it to the admin port."""


def remove_leftovers(store: Path) -> None:
    """`store`: the folder of the store. Its stack must not run: the caller has locked the data folder.

    Each start has new ports. Sockets and raft state of the former ports are never used again, and only weed
    that ends in order removes its sockets.
    """
    data = store / "data"
    for raft_state in data.glob("m[0-9]*"):
        shutil.rmtree(raft_state, ignore_errors=True)
    for port in _former_ports(data / "mini.options"):
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108  # the place is weed's choice
            if not _is_served(path):
                with suppress(OSError):
                    path.unlink()


def _former_ports(options: Path) -> set[int]:
    """Weed writes its settings into this file."""
    try:
        found = _PORT.findall(options.read_text())
    except FileNotFoundError:
        return set()
    return {
        int(port) + offset
        for part, port in found
        for offset in ((0, _ADMIN_GRPC) if part == "admin" else (0,))
    }


def _is_served(path: Path) -> bool:
    """The port may belong to another stack by now."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
