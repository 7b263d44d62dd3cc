"""The connection under a request: cutting it is the one fault that HTTP itself has no words for."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


def transport_of(receive: Receive) -> asyncio.Transport | None:
    """The socket's transport: uvicorn's `receive` is a method of the object that holds it."""
    found: Any = getattr(getattr(receive, "__self__", None), "transport", None)
    return found if hasattr(found, "abort") else None  # uvloop's are none of asyncio's classes


def reset(receive: Receive, *, hard: bool = True) -> None:
    """Cut the connection: `hard`, and the client sees a reset; else what was sent arrives, then the end.

    Raises:
        RuntimeError: the server in front hides its transport; it then closes the connection for the error.
    """
    transport = transport_of(receive)
    if transport is None:
        raise RuntimeError(
            "no transport under this request; serve the sandbox with uvicorn to cut connections"
        )
    if not hard:
        transport.close()
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Reset(Response):
    """An answer that never comes: the connection is reset instead."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection."""
        reset(receive)


class Silence(Response):
    """An answer that never comes: the connection stays open until the client gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the client to leave."""
        while (await receive())["type"] != "http.disconnect":
            pass
