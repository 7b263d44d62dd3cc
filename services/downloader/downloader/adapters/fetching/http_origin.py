"""Origins over HTTP: one GET at a time, streamed, without cookies, tokens or proxies."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import httpcore

from downloader.adapters.fetching.socket_backend import PlainNetwork
from downloader.adapters.fetching.ssrf_transport import GuardedNetwork
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from downloader.core.fetching.domain.resume import Head
from downloader.core.fetching.domain.ssrf_guard import Allowed
from downloader.core.fetching.ports import Answer

CONNECT_S, ANSWER_S = 10.0, 30.0
CONNECTIONS = 256


class HttpOrigin:
    """A Part. Speaks HTTP/1.1, because one file is one stream and every byte of framing costs time.

    Args:
        allowed: hosts that may be private.
        idle_s: seconds without a byte after which a body is given up.
        tls: trust; the usual authorities when None.
    """

    def __init__(self, allowed: Allowed, *, idle_s: float = 20.0, tls: ssl.SSLContext | None = None) -> None:
        self._allowed = allowed
        self._idle_s = idle_s
        self._tls = tls
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def start(self) -> None:
        """Load the authorities once: it takes tens of milliseconds."""
        self._open(secure=True)

    async def stop(self) -> None:
        """Close every connection."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str]) -> AsyncIterator[Answer]:
        """Ask for it; see `core.ports.Origin`. Nothing is sent but a Host and the given headers."""
        timeouts = {"connect": CONNECT_S, "read": ANSWER_S, "write": ANSWER_S, "pool": ANSWER_S}
        sent = {"Host": _host(url), "Accept": "*/*", "User-Agent": "rushes-downloader"} | headers
        with _before_body():
            request = httpcore.Request(
                "GET", _encoded(url), headers=list(sent.items()), extensions={"timeout": timeouts}
            )
            response = await self._open(secure=url[:5].lower() != "http:").handle_async_request(request)
        timeouts["read"] = self._idle_s
        try:
            names = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            yield Answer(Head(response.status, names), _body(response, self._idle_s))
        finally:
            await response.aclose()

    def _open(self, *, secure: bool) -> httpcore.AsyncConnectionPool:
        """The connections with TLS, or those without, which skip the layer that TLS needs."""
        if secure not in self._pools:
            network = httpcore.AnyIOBackend() if secure else PlainNetwork()
            self._pools[secure] = httpcore.AsyncConnectionPool(
                ssl_context=(self._tls or httpcore.default_ssl_context()) if secure else None,
                network_backend=GuardedNetwork(self._allowed, network),
                max_connections=CONNECTIONS,
                max_keepalive_connections=16,
                keepalive_expiry=15.0,
            )
        return self._pools[secure]


async def _body(response: httpcore.Response, idle_s: float) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_stream():
            yield chunk
    except httpcore.RemoteProtocolError as error:
        raise FetchFailed(Code.TRUNCATED, "the origin ended it before its announced length") from error
    except httpcore.ReadTimeout as error:
        raise FetchFailed(Code.TOO_SLOW, f"the origin sent nothing for {idle_s:g} seconds") from error
    except (httpcore.NetworkError, OSError) as error:
        raise FetchFailed(Code.INTERRUPTED, f"the connection broke ({type(error).__name__})") from error


@contextmanager
def _before_body() -> Iterator[None]:
    """What goes wrong before an answer is there. A text of the library may hold the address."""
    try:
        yield
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError) as error:
        raise FetchFailed(Code.BAD_ADDRESS, "its address cannot be asked for") from error
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise FetchFailed(Code.UNREACHABLE, f"the origin does not answer ({type(error).__name__})") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        # httpcore drops the cause on its way out, and keeps it as what its own error was made of.
        why = "TLS" if any(isinstance(cause, ssl.SSLError) for cause in error.args) else type(error).__name__
        raise FetchFailed(Code.UNREACHABLE, f"the origin cannot be reached ({why})") from error


def _encoded(url: str) -> bytes:
    """The address in ASCII: its host in IDNA, the rest percent-encoded (RFC 3987, 3.1); no fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    safe = "/%:;?&=+$,@!~*'()#[]"
    address = (parts.scheme, netloc, quote(parts.path, safe), quote(parts.query, safe), "")
    return urlunsplit(address).encode("ascii")


def _host(url: str) -> str:
    return urlsplit(_encoded(url).decode()).netloc
