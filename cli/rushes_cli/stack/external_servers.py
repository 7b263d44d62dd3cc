"""Checks that external servers (NATS, S3, PostgreSQL) accept connections, before a stack is started."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

from rushes_cli.errors import FAILED, CommandError

_CONNECT_TIMEOUT_S = 5.0

_PORTS = {
    "http": 80,
    "https": 443,
    "nats": 4222,
    "tls": 4222,
    "ws": 80,
    "wss": 443,
    "postgresql": 5432,
    "postgres": 5432,
    "postgresql+asyncpg": 5432,
}
"""Of an address without a port."""


class Server(NamedTuple):
    scheme: str
    host: str
    port: int


def parse_servers(address: str) -> list[Server]:
    """The servers of an address; a cluster is several addresses with commas.

    Raises:
        CommandError: one of them is no address.
    """
    return [_server(each.strip()) for each in address.split(",") if each.strip()]


async def check_reachable(address: str) -> None:
    """Connect to the servers of an address; one of a cluster is enough.

    Raises:
        CommandError: none accepts a connection.
    """
    wanted = parse_servers(address)
    errors = await asyncio.gather(*(_connection_error(each) for each in wanted))
    if all(errors):
        listed = ", ".join(
            f"{each.scheme}://{each.host}:{each.port} ({error})"
            for each, error in zip(wanted, errors, strict=True)
        )
        raise CommandError(
            f"Nobody answers at {listed}.",
            "Start what should be there, or leave the setting out for the embedded one.",
            exit_code=FAILED,
        )


def _server(address: str) -> Server:
    parts = urlsplit(address)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        port = 0
    if not parts.hostname or not port:
        # Without what is before the @: that may be a password.
        raise CommandError(
            f"{address.rpartition('@')[2]} is no address of a server.",
            "Write it like nats://host:4222 or https://host.",
        )
    return Server(parts.scheme, parts.hostname, port)


async def _connection_error(server: Server) -> str:
    """The name of the error; empty when there was none."""
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(server.host, server.port)
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    writer.close()
    return ""
