"""Calls that break off, by a server that speaks just enough HTTP/2: nobody has judged the request."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from servicekit.errors import Unavailable
from servicekit.grpc.client import open_channel
from servicekit.testing import tcp_server

_HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY = 1, 3, 4, 6, 7
_ACK = 1
End = Callable[[int], bytes]
"""What is said of a stream before the connection is left alone, or closed when it is nothing."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def reset(code: int) -> End:
    return lambda stream: frame(_RESET, 0, stream, struct.pack(">I", code))


@asynccontextmanager
async def breaking_off(end: End) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)  # the client's preface
        writer.write(frame(_SETTINGS, 0, 0))
        while True:
            head = await reader.readexactly(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                writer.write(frame(kind, _ACK, 0, payload if kind == _PING else b""))
            if kind == _HEADERS:
                status = end(stream)
                writer.write(status)
                if not status:
                    break

    async with tcp_server(serve) as port:
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    "end",
    [
        *(pytest.param(reset(code), id=f"reset {code}") for code in range(14)),
        pytest.param(lambda _: b"", id="closed"),
        pytest.param(lambda _: frame(_GOAWAY, 0, 0, struct.pack(">II", 0, 0)), id="goes away"),
        pytest.param(lambda _: b"HTTP/1.1 500 Oops\r\n\r\n", id="no gRPC at all"),
    ],
)
async def test_a_call_that_breaks_off_is_not_judged(end: End) -> None:
    async with breaking_off(end) as address, open_channel(address, deadline=10.0) as channel:
        with pytest.raises(Unavailable, match=address):
            await channel.unary_unary("/rushes.Echo/Say")(b"")
