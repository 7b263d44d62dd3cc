"""Cuts the connection of a request, or never answers it: faults below HTTP."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


def transport_of(receive: Receive) -> asyncio.Transport | None:
    """The transport of the connection: uvicorn's `receive` is a method of the object that has it."""
    found: Any = getattr(getattr(receive, "__self__", None), "transport", None)
    return found if hasattr(found, "abort") else None  # uvloop's are none of asyncio's classes


def cut_connection(receive: Receive, *, hard: bool = True) -> None:
    """Close the connection: by a reset (`hard`), or after what was sent has arrived.

    Raises:
        RuntimeError: the server hides its transport. It then closes the connection because of the error.
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


class ResetConnection(Response):
    """Resets the connection instead of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut_connection(receive)


class NeverAnswer(Response):
    """Leaves the connection open, without an answer, until the client gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
