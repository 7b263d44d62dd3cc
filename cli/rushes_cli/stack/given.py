"""A log or a store that people bring: whether it answers, before anything is started for nothing."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

from rushes_cli.problems import FAILED, Problem

_BUDGET = 5.0
"""Seconds to take a connection."""

_PORTS = {"http": 80, "https": 443, "nats": 4222, "tls": 4222, "ws": 80, "wss": 443}
"""What an address without a port means."""


class Server(NamedTuple):
    """Where one server is."""

    scheme: str
    host: str
    port: int


def servers(address: str) -> list[Server]:
    """Each server that an address names; a cluster is several addresses with commas.

    Raises:
        Problem: one of them is none.
    """
    return [_server(each.strip()) for each in address.split(",") if each.strip()]


async def refuse_dead(address: str) -> None:
    """Look whether a server of that address answers; of a cluster one is enough.

    Raises:
        Problem: none does.
    """
    wanted = servers(address)
    failures = await asyncio.gather(*(_failure(each) for each in wanted))
    if all(failures):
        told = ", ".join(
            f"{each.scheme}://{each.host}:{each.port} ({failure})"
            for each, failure in zip(wanted, failures, strict=True)
        )
        raise Problem(
            f"Nobody answers at {told}.",
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
        # Without what stands before the @: that may be a password.
        raise Problem(
            f"{address.rpartition('@')[2]} is no address of a server.",
            "Write it like nats://host:4222 or https://host.",
        )
    return Server(parts.scheme, parts.hostname, port)


async def _failure(server: Server) -> str:
    """Why nobody answers there; empty when somebody does."""
    try:
        async with asyncio.timeout(_BUDGET):
            _, writer = await asyncio.open_connection(server.host, server.port)
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    writer.close()
    return ""
