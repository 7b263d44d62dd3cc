"""Requests files over HTTP: one GET at a time, streamed, without cookies, tokens or proxies."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import httpcore

from downloader.adapters.fetching.guarded_network import GuardedBackend, SocketBackend
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.responses import ResponseHead
from downloader.core.fetching.domain.ssrf_guard import AllowedHosts
from downloader.core.fetching.ports import Response

CONNECT_S, RESPONSE_S = 10.0, 30.0
MAX_CONNECTIONS = 256
_VISIBLE_ASCII = "".join(map(chr, range(0x20, 0x7F)))


class HttpOrigin:
    """A Part. Speaks HTTP/1.1, because one file is one stream and every byte of framing costs time.

    Args:
        allowed: hosts that may be private.
        idle_s: seconds without a byte after which a body is given up.
        tls: trust; the usual authorities when None.
    """

    def __init__(
        self, allowed: AllowedHosts, *, idle_s: float = 20.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allowed = allowed
        self._idle_s = idle_s
        self._tls = tls
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def start(self) -> None:
        """Load the certificate authorities once: it takes tens of milliseconds."""
        self._pool(secure=True)

    async def stop(self) -> None:
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str]) -> AsyncIterator[Response]:
        """See `core.fetching.ports.Origin`. Nothing is sent but a few fixed headers and the given ones."""
        timeouts = {"connect": CONNECT_S, "read": RESPONSE_S, "write": RESPONSE_S, "pool": RESPONSE_S}
        with _errors_before_body():
            address = _ascii_url(url)
            host = urlsplit(address.decode()).netloc
            sent = {"Host": host, "Accept": "*/*", "User-Agent": "rushes-downloader"} | headers
            request = httpcore.Request(
                "GET", address, headers=list(sent.items()), extensions={"timeout": timeouts}
            )
            response = await self._pool(secure=url[:5].lower() != "http:").handle_async_request(request)
        timeouts["read"] = self._idle_s
        try:
            yield Response(_head(response), _body(response, self._idle_s))
        finally:
            await response.aclose()

    def _pool(self, *, secure: bool) -> httpcore.AsyncConnectionPool:
        """One with TLS, and one without, which skips the layer that TLS needs."""
        if secure not in self._pools:
            network = httpcore.AnyIOBackend() if secure else SocketBackend()
            self._pools[secure] = httpcore.AsyncConnectionPool(
                ssl_context=(self._tls or httpcore.default_ssl_context()) if secure else None,
                network_backend=GuardedBackend(self._allowed, network),
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=16,
                keepalive_expiry=15.0,
            )
        return self._pools[secure]


def _head(response: httpcore.Response) -> ResponseHead:
    headers = {}
    for raw_name, value in response.headers:
        name = raw_name.decode("latin-1").lower()
        headers[name] = _location(value) if name == "location" else value.decode("latin-1")
    return ResponseHead(response.status, headers)


def _location(value: bytes) -> str:
    """Many servers send raw UTF-8. The bytes of any other charset are percent-encoded as they are."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return quote(value, safe=_VISIBLE_ASCII)


async def _body(response: httpcore.Response, idle_s: float) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_stream():
            yield chunk
    except httpcore.RemoteProtocolError as error:
        raise FetchError(ErrorCode.TRUNCATED, "the origin ended it before its announced length") from error
    except httpcore.ReadTimeout as error:
        raise FetchError(ErrorCode.TOO_SLOW, f"the origin sent nothing for {idle_s:g} seconds") from error
    except (httpcore.NetworkError, OSError) as error:
        raise FetchError(ErrorCode.INTERRUPTED, f"the connection broke ({type(error).__name__})") from error


@contextmanager
def _errors_before_body() -> Iterator[None]:
    """Translate what goes wrong before a response is there. The library's text may hold the address."""
    try:
        yield
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError) as error:
        raise FetchError(ErrorCode.BAD_ADDRESS, "its address cannot be requested") from error
    except (httpcore.TimeoutException, TimeoutError) as error:
        message = f"the origin does not answer ({type(error).__name__})"
        raise FetchError(ErrorCode.UNREACHABLE, message) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        # httpcore drops the cause, but keeps it among the arguments of its own error.
        why = "TLS" if any(isinstance(cause, ssl.SSLError) for cause in error.args) else type(error).__name__
        raise FetchError(ErrorCode.UNREACHABLE, f"the origin cannot be reached ({why})") from error


def _ascii_url(url: str) -> bytes:
    """The address in ASCII: its host in IDNA, the rest percent-encoded (RFC 3987, 3.1); no fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    safe = "/%:;?&=+$,@!~*'()#[]"
    address = (parts.scheme, netloc, quote(parts.path, safe), quote(parts.query, safe), "")
    return urlunsplit(address).encode("ascii")
