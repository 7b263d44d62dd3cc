"""Connections without TLS, straight from the socket: no buffer of the loop's in between."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore


class PlainStream(httpcore.AsyncNetworkStream):
    """A connected socket. What nobody reads stays with the kernel, and slows the sender down."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        """At least a byte, or none at the end."""
        async with _translated(timeout, httpcore.ReadTimeout, httpcore.ReadError):
            data = await asyncio.get_running_loop().sock_recv(self._socket, max_bytes)
            if len(data) == max_bytes:
                await asyncio.sleep(0)  # there is more, and so it may go on: others have their turn too
            return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        """Send."""
        async with _translated(timeout, httpcore.WriteTimeout, httpcore.WriteError):
            await asyncio.get_running_loop().sock_sendall(self._socket, buffer)

    async def aclose(self) -> None:
        """Close."""
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """Whether an idle connection has something to say, which is that it has ended; nothing else."""
        if info != "is_readable":
            return None
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))


class PlainNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses, not to names: for `GuardedNetwork`, which has resolved them."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect; httpcore's ConnectError or ConnectTimeout."""
        async with _translated(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
            new = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            try:
                new.setblocking(False)
                new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for option in socket_options or ():
                    new.setsockopt(*option)
                if local_address is not None:
                    new.bind((local_address, 0))
                await asyncio.get_running_loop().sock_connect(new, (host, port))
            except BaseException:
                new.close()
                raise
            return PlainStream(new)

    async def sleep(self, seconds: float) -> None:
        """Wait (httpcore's retries; we ask for none)."""
        await asyncio.sleep(seconds)


@asynccontextmanager
async def _translated(
    within: float | None, late: type[Exception], broken: type[Exception]
) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError as error:  # before OSError, of which it is one: a kernel's own timeout is that too
        raise late(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
