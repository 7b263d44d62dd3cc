"""Connects without TLS, and reads straight from the socket: the event loop buffers nothing in between."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore


class SocketStream(httpcore.AsyncNetworkStream):
    """A connected socket. What is not read yet stays with the kernel, and slows the sender down."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        async with _httpcore_errors(timeout, httpcore.ReadTimeout, httpcore.ReadError):
            data = await asyncio.get_running_loop().sock_recv(self._socket, max_bytes)
            if len(data) == max_bytes:
                await asyncio.sleep(0)  # more is there, so the next read will not wait: let others run
            return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        async with _httpcore_errors(timeout, httpcore.WriteTimeout, httpcore.WriteError):
            await asyncio.get_running_loop().sock_sendall(self._socket, buffer)

    async def aclose(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """Only `is_readable`: an idle connection is readable when the other side has closed it."""
        if info != "is_readable":
            return None
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))


class SocketBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses, not to names: `GuardedBackend` has resolved them."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with _httpcore_errors(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
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
            return SocketStream(new)

    async def sleep(self, seconds: float) -> None:
        # Part of the interface: httpcore waits so between its own retries, which we do not use.
        await asyncio.sleep(seconds)


@asynccontextmanager
async def _httpcore_errors(
    within: float | None, timed_out: type[Exception], failed: type[Exception]
) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError as error:  # first, as it is an OSError itself; a timeout of the kernel is one too
        raise timed_out(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error
