"""A channel to a name whose addresses change, as that of a headless service does: by a small DNS server."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from servicekit.clock import SystemClock
from servicekit.embedded.process import free_port
from servicekit.errors import AppError
from servicekit.grpc.client import GrpcChannel
from servicekit.grpc.server import GrpcServer
from servicekit.testing import eventually


class Names(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with `address` (RFC 1035, section 4)."""

    def __init__(self) -> None:
        self.address = ""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        question, is_ipv4 = data[12:end], data[end - 4 : end - 2] == b"\0\1"
        answers = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + bytes(map(int, self.address.split(".")))]
        found = answers if is_ipv4 else []
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        self._transport.sendto(head + question + b"".join(found), addr)


@asynccontextmanager
async def names() -> AsyncIterator[tuple[Names, int]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Names, local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.skipif(sys.platform != "linux", reason="others have one loopback address only")
async def test_a_channel_finds_the_replicas_again_that_have_replaced_all_it_knew() -> None:
    port = free_port()
    async with names() as (dns, dns_port):
        channel = GrpcChannel(f"dns://127.0.0.1:{dns_port}/catalog.test:{port}")

        async def serves() -> None:
            try:
                await channel.check_serving()
            except AppError as error:
                raise AssertionError(str(error)) from error

        for number in (2, 3, 4):
            dns.address = f"127.0.0.{number}"
            server = GrpcServer(f"{dns.address}:{port}", [], clock=SystemClock(), service=dns.address)
            await server.start()
            await eventually(serves, within=25.0)
            await server.stop()
        await channel.stop()
