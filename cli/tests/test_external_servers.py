from __future__ import annotations

import asyncio

import pytest

from rushes_cli.errors import CommandError
from rushes_cli.stack import external_servers
from servicekit.embedded.process import free_port
from servicekit.testing import tcp_server


@pytest.mark.parametrize(
    ("address", "servers"),
    [
        ("https://s3.eu-central-1.amazonaws.com", [("https", "s3.eu-central-1.amazonaws.com", 443)]),
        ("http://store", [("http", "store", 80)]),
        ("http://127.0.0.1:8333", [("http", "127.0.0.1", 8333)]),
        ("nats://host", [("nats", "host", 4222)]),
        ("postgresql+asyncpg://user:secret@db/rushes", [("postgresql+asyncpg", "db", 5432)]),
        (
            "nats://a:1, nats://user:secret@b,tls://[::1]:3",
            [("nats", "a", 1), ("nats", "b", 4222), ("tls", "::1", 3)],
        ),
    ],
)
def test_addresses_of_external_servers(address: str, servers: list[tuple[str, str, int]]) -> None:
    assert external_servers.parse_servers(address) == servers


@pytest.mark.parametrize("address", ["nonsense", "nats://host:x", "host:4222", "ftp://host", "http://:80"])
def test_texts_that_are_no_address(address: str) -> None:
    with pytest.raises(CommandError, match="is no address"):
        external_servers.parse_servers(address)


async def test_one_server_of_a_cluster_is_enough_and_passwords_are_not_shown() -> None:
    dead = f"nats://user:secret@127.0.0.1:{free_port()}"
    with pytest.raises(CommandError, match=r"Nobody answers at nats://127\.0\.0\.1:") as raised:
        await external_servers.check_reachable(dead)
    assert "secret" not in str(raised.value)

    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """Accepting the connection is enough."""

    async with tcp_server(answer) as port:
        await external_servers.check_reachable(f"{dead},nats://127.0.0.1:{port}")
