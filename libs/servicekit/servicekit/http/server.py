"""Serves HTTP as a `Part`: uvicorn in our loop, with our signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.errors import Precondition

GRACE = 5.0
"""Seconds that running requests get to finish at stop, before they are cancelled."""

KEEP_ALIVE_S = 75
"""Seconds for which a connection without a request stays open. Longer than proxies and load balancers keep
theirs (60 s, mostly): if we closed it first, a request could meet a closed connection."""

_POLL_S = 0.02
"""Between two checks whether connections are closed."""

_ACCEPTING_S = 5.0
"""For connections that are accepted and not connected yet: a TLS handshake is several rounds of the loop."""


class _LastResponses:
    """An ASGI middleware that, from the stop on, says in each response that its connection ends with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if self.stopping and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)


class _Uvicorn(uvicorn.Server):
    """Uvicorn without signal handlers: `servicekit.process.lifecycle` has them.

    Its own stop closes a connection that is between two requests, perhaps while the next one is on its way:
    who has sent it cannot know that nothing was done. So each gets the chance of a last request.
    """

    def __init__(self, config: uvicorn.Config, last_responses: _LastResponses, last_requests: float) -> None:
        super().__init__(config)
        self._last_responses = last_responses
        self._last_requests = last_requests

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            await stop_accepting(server)  # first of all: new connections go to another replica
        self._last_responses.stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._last_requests):
                while self.server_state.connections:  # noqa: ASYNC110  # uvicorn only keeps a set
                    await asyncio.sleep(_POLL_S)
        await super().shutdown(sockets)


class HttpServer:
    """Serves an ASGI app.

    Args:
        listen: "host:port"; port 0 lets the system choose, see `port`.
        grace: seconds that running requests get to finish at stop.
        last_requests: seconds before that in which each open connection may send one more request.
    """

    def __init__(
        self, app: ASGIApp, listen: str, *, grace: float = GRACE, last_requests: float = 0.0
    ) -> None:
        self._app = app
        self._listen = listen
        self._grace = grace
        self._last_requests = last_requests
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
        app = _LastResponses(self._app)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(self._grace)),
        )
        server = _Uvicorn(config, app, self._last_requests)
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
        """Take no new connections, answer last requests, let running ones finish within the grace, then cut
        them off."""
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
