"""Serves HTTP as a `Part`: uvicorn in our loop, with our signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from servicekit.errors import Precondition

GRACE = 5.0
"""Seconds that running requests get to finish at stop, before they are cancelled."""

_ACCEPTING_S = 5.0
"""For connections that are accepted and not connected yet: a TLS handshake is several rounds of the loop."""


class _Uvicorn(uvicorn.Server):
    """Uvicorn without signal handlers: `servicekit.process.lifecycle` has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            await stop_accepting(server)
        await super().shutdown(sockets)


class HttpServer:
    """Serves an ASGI app on `listen` ("host:port"; port 0 lets the system choose, see `port`)."""

    def __init__(self, app: ASGIApp, listen: str, *, grace: float = GRACE) -> None:
        self._app = app
        self._listen = listen
        self._grace = grace
        self._log = structlog.get_logger(__name__)
        self._server: _Uvicorn | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; answers when requests are accepted.

        Raises:
            Precondition: the address cannot be listened on, or the app's lifespan failed to start.
        """
        listening = _bind(self._listen)
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self._grace)),
        )
        server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="http")
        self._server, self._serving = server, serving
        while not server.started:
            if serving.done():
                serving.result()
                raise Precondition(
                    f"the app on {self._listen} did not start: its lifespan failed, see the log"
                )
            await asyncio.sleep(0.005)  # uvicorn only sets a flag
        self._log.info("http listening", address=self._listen, port=self.port)

    async def stop(self) -> None:
        """Take no new connections, let running requests finish within the grace, then cut them off."""
        server, self._server = self._server, None
        serving, self._serving = self._serving, None
        if server is not None and serving is not None:
            server.should_exit = True
            await serving


async def stop_accepting(server: asyncio.Server) -> None:
    """Close the server, and wait until the connections that it has accepted are connected.

    One that is not connected by then has nobody who closes it: its client waits until this process ends, and
    uvicorn for the client until the grace is over.
    """
    # asyncio's own loop, on which tests run, connects in a task, and loses the connection (before 3.12) when
    # the server is closed meanwhile. Of uvloop these lines find nothing.
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    accepting = [task for task in asyncio.all_tasks() if _is_accepting(task)]
    if accepting:
        await asyncio.wait(accepting, timeout=_ACCEPTING_S)
    server.close()
    await asyncio.sleep(0)  # uvloop, on which services run, connects in the round after accepting


def _is_accepting(task: asyncio.Task[object]) -> bool:
    """Whether asyncio's own loop connects an accepted socket in it."""
    return getattr(task.get_coro(), "__name__", "") == "_accept_connection2"


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY only then, and without it every answer takes 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, int(port)))
    except (OSError, ValueError) as error:
        listening.close()
        raise Precondition(f"cannot listen on {listen}: {error}") from error
    return listening
