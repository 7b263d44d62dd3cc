"""Sends a response whose bytes are made while they are sent: with backpressure, and ended with the client."""

from __future__ import annotations

from contextlib import aclosing

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Send

from servicekit.errors import AppError


class GeneratorResponse(StreamingResponse):
    """Sends what an async generator yields, one chunk in hand at a time.

    The generator is closed, and with it everything it has opened, when it ends and when the client goes away.
    When it fails half-way the connection is cut, so that the client sees that something is missing.
    """

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self.body_iterator) as chunks:  # type: ignore[type-var]  # generators, all of them
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except AppError as error:
            # Not ended properly, the response is cut off by the server.
            structlog.get_logger(__name__).warning("response cut off", kind=error.kind, error=error.message)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
