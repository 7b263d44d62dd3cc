"""What tests need that start other processes: the token of their sandbox, and free ports."""

from __future__ import annotations

import socket

TOKEN = "r8_of_this_test"
AUTH = {"authorization": f"Bearer {TOKEN}"}


def free_port() -> int:
    """A free port for a process that cannot report which one it took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
