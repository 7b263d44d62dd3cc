"""Sends requests to the provider's API: one base address, the token to it alone, errors as `AppError`s."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from generator.core.runs.domain.provider_errors import read_refusal
from servicekit import errors
from servicekit.telemetry import traces

READ_TIMEOUT = 30.0
"""Seconds for a request that changes nothing; collections are heavy."""


class ReplicateClient:
    """The provider's HTTP API. A `Part`: open between `start` and `stop`.

    Args:
        base_url: without `/v1`.
        token: sent as Bearer to `base_url` and nowhere else; empty sends none.
    """

    def __init__(
        self, base_url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._base = base_url.rstrip("/").removesuffix("/v1")
        self._token = token
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self.date: datetime | None = None
        """The time at the provider, to the second, when it answered last; None while it gives none."""

    async def start(self) -> None:
        """Open the connection pool; nothing is sent yet."""
        if self._client is None:
            headers = {"user-agent": "rushes-generator", "accept": "application/json"}
            if self._token:
                headers["authorization"] = f"Bearer {self._token}"
            self._client = httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(READ_TIMEOUT, connect=5.0),
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=8),
                transport=self._transport,
                follow_redirects=False,  # a redirect could lead the token elsewhere
                trust_env=False,
            )

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request to `/v1…`, or to an address that the API itself gave. Raises httpx's errors."""
        if self._client is None:
            raise errors.Unavailable("the connection to the provider is not open")
        with traces.span(f"provider {method}", "client", attributes={"server.address": self.host}):
            response = await self._client.request(method, self._base + _path_of(path), **options)
        self.date = _date(response)
        return response

    @property
    def host(self) -> str:
        """The provider's host and port: what may be shown of its address."""
        return urlsplit(self._base).netloc

    async def read(self, path: str, *, params: Mapping[str, str] | None = None) -> Any:
        """GET a JSON document. Every failure is an `AppError` of the kind that says how to go on."""
        # Without parameters none are passed: httpx would cut off the query that stands in an address.
        return await self.request("GET", path, **({"params": dict(params)} if params else {}))

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that may be sent again without harm; answers the JSON of a 2xx."""
        what = f"{method} {_path_of(path).partition('?')[0]} at {self.host}"
        try:
            response = await self.send(method, path, **options)
        except httpx.TimeoutException as error:
            raise errors.TimedOut(f"the provider gave no answer in time to {what}") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise errors.Unavailable(
                f"the provider cannot be reached: {what}: {type(error).__name__}"
            ) from error
        if response.is_success:
            return _json(response, what)
        raise _error(response, what)


def _date(response: httpx.Response) -> datetime | None:
    try:
        found = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _path_of(address: str) -> str:
    """The path and query of an address: what the API itself names is read at our own base address."""
    if address.startswith("/"):
        return address
    parts = urlsplit(address)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _json(response: httpx.Response, what: str) -> Any:
    if not response.content:
        return {}
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise errors.Unavailable(f"the provider's answer to {what} is no JSON") from error


def _error(response: httpx.Response, what: str) -> errors.AppError:
    refused = read_refusal(response.status_code, headers_of(response), response.text)
    text = f"{what}: {response.status_code} {refused.text}"
    match response.status_code:
        case 404 | 410:
            return errors.NotFound(text)
        case 401 | 402:
            return errors.Unauthenticated(text)
        case 403:
            return errors.Forbidden(text)
        case 429:
            return errors.Limited(text, retry_after=refused.retry_after)
        case status if status < 400 or status >= 500 or status in (408, 409, 425):
            return errors.Unavailable(text)
    return errors.Invalid(text)


def headers_of(response: httpx.Response) -> dict[str, str]:
    """The headers, names in lower case."""
    return {key.lower(): value for key, value in response.headers.items()}
