"""Lets a 413 arrive: a connection that is closed while bytes still come would be reset, response and all."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 2.0
_MOST_BYTES = 64 * 1024 * 1024
"""How long, and how much, is read and discarded until the client has read the response."""


class LingeringMiddleware:
    """After a 413 was sent whole, reads on for a moment before the connection is closed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, whole = 0, False

        async def received() -> Message:
            nonlocal whole
            message = await receive()
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if status == 413 and last and not whole:
                await send({**message, "more_body": True})
                await _drain(receive)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, received, sent)


async def _drain(receive: Receive) -> None:
    discarded = 0
    try:
        async with asyncio.timeout(_SECONDS):
            while discarded < _MOST_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                discarded += len(message.get("body", b""))
    except TimeoutError:
        return
