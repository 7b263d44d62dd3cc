"""Connects to exactly the address that was checked: names are resolved once, here."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.ssrf_guard import AllowedHosts, check_resolved_ip

READ_SIZE = 1024 * 1024
"""Bytes read at once, where so many are there: each read costs a turn of the event loop."""


class LargeReadStream(httpcore.AsyncNetworkStream):
    """Reads more at once than httpcore wants (64 KiB). It copes with more: nothing is lost."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        return await self._stream.read(max(max_bytes, READ_SIZE), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
    ) -> httpcore.AsyncNetworkStream:
        return LargeReadStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name, refuses it when any of its addresses is not allowed, connects to the first to answer.

    No second look-up happens between the check and the connection, so a name that changes its mind
    (DNS rebinding) gains nothing. TLS still checks the certificate against the name.
    """

    def __init__(self, allowed: AllowedHosts, backend: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._allowed = allowed
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises FetchError `private_address` or `unreachable`, or httpcore's errors."""
        async with asyncio.timeout(timeout):
            addresses = await self._resolve(host, port)
        for address in addresses:
            check_resolved_ip(host, port, address, self._allowed)
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return LargeReadStream(
                    await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def sleep(self, seconds: float) -> None:
        # Part of the interface: httpcore waits so between its own retries, which we do not use.
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchError(ErrorCode.UNREACHABLE, f"the name {host[:253]} cannot be resolved") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class SocketStream(httpcore.AsyncNetworkStream):
    """A connected socket, without a buffer of the event loop in between: what is not read yet stays with the
    kernel, and slows the sender down."""

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
