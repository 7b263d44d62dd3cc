"""Talks to the REST API of a running stack: requests with retries, transfers of files, live events."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import EventSource

from rushes_cli.data_folder import DataFolder
from rushes_cli.errors import FAILED, CommandError

T = TypeVar("T")

_RETRIES = 20
_PAUSE = 0.5
"""Seconds between two attempts of a read. With the retries: about ten, enough for a gateway that restarts."""

_TEMPORARY = (408, 429, 502, 503, 504)
"""Statuses after which the same request may succeed."""


@dataclass(frozen=True)
class LogEvent:
    """One event, as the gateway shows it. Without data it only says how far the stream is."""

    sequence: int
    type: str
    data: Mapping[str, Any]


class RequestRefusedError(CommandError):
    """The gateway has answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, exit_code=FAILED)
        self.status = status

    @property
    def is_temporary(self) -> bool:
        return self.status in _TEMPORARY


class GatewayUnreachableError(CommandError):
    """The gateway has not answered, or has broken off its answer."""

    def __init__(self, base: str, error: httpx.TransportError) -> None:
        super().__init__(
            f"{base} does not answer ({type(error).__name__}).",
            "Look with `rushes doctor`, or start the system with `rushes up`.",
            exit_code=FAILED,
        )
        # A request that has used up its whole timeout has waited long enough.
        self.is_temporary = not isinstance(error, httpx.TimeoutException)


class RestClient:
    def __init__(self, base: str, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base,
            headers={"X-API-Key": key},
            timeout=httpx.Timeout(30.0, read=60.0),
        )
        self.base = base

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """The JSON at `path`, with retries.

        Raises:
            RequestRefusedError: the gateway has answered with an error status.
            GatewayUnreachableError: it does not answer.
        """
        return await _with_retries(lambda: self._call("GET", path, params=query))

    async def pages(self, path: str, **query: str | int) -> AsyncIterator[dict[str, Any]]:
        """Every page of a list. Raises like `get`."""
        token = ""
        while True:
            page = await self.get(path, **query, page_token=token)
            yield page
            if not (token := page["next_page_token"]):
                return

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post JSON, in one attempt. Raises like `get`."""
        return await self._call("POST", path, json=dict(body or {}))

    async def delete(self, path: str) -> None:
        """In one attempt. Raises like `get`."""
        await self._call("DELETE", path)

    async def upload(self, path: Path, fields: Mapping[str, str]) -> dict[str, Any]:
        """Upload a file as an asset, in one attempt; returns the asset. Raises like `get`."""
        with path.open("rb") as file:
            return await self._call(
                "POST", "/api/v3/assets", data=dict(fields), files={"file": (path.name, file)}
            )

    async def download(self, path: str, to: Path) -> None:
        """Store the bytes at `path` in a file, complete or not at all. Retries and raises like `get`."""
        await _with_retries(lambda: self._download(path, to))

    async def digest(self, path: str) -> str:
        """The SHA-256 of the bytes at `path` in hexadecimal, in one attempt. Raises like `get`."""
        digest = hashlib.sha256()
        async with self._open_stream(path) as answer:
            async for chunk in answer.aiter_bytes(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    async def _download(self, path: str, to: Path) -> None:
        part = to.with_name(to.name + ".part")
        async with self._open_stream(path) as answer:
            with part.open("wb") as file:
                async for chunk in answer.aiter_bytes(1 << 20):
                    file.write(chunk)
        part.replace(to)

    @asynccontextmanager
    async def _open_stream(self, path: str, **parts: Any) -> AsyncIterator[httpx.Response]:
        with self._transport_errors():
            async with self._http.stream("GET", path, **parts) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refusal(answer)
                yield answer

    async def events(self, path: str, *, after: int | None = None, **query: str) -> AsyncGenerator[LogEvent]:
        """Live events from `path`, after a sequence or from now on, without end. Close it with `aclosing`.

        The first one says where the stream begins. A stream that breaks is continued where it was.
        Raises like `get`.
        """
        last, errors_in_a_row = after, 0
        while True:
            try:
                async with aclosing(self._stream(path, last, query)) as events:
                    async for event in events:
                        last, errors_in_a_row = event.sequence, 0
                        yield event
            except (RequestRefusedError, GatewayUnreachableError) as error:
                errors_in_a_row += 1
                if errors_in_a_row > _RETRIES or (
                    isinstance(error, RequestRefusedError) and not error.is_temporary
                ):
                    raise
            await asyncio.sleep(_PAUSE)

    async def _stream(
        self, path: str, after: int | None, query: Mapping[str, str]
    ) -> AsyncGenerator[LogEvent]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        timeout = httpx.Timeout(30.0, read=45.0)  # the gateway sends a comment every 15 s
        async with self._open_stream(path, headers=headers, params=query, timeout=timeout) as answer:
            async for event in EventSource(answer).aiter_sse():
                yield LogEvent(int(event.id), event.event, json.loads(event.data or "{}"))

    async def _call(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        with self._transport_errors():
            answer = await self._http.request(method, path, **parts)
        if answer.is_error:
            raise _refusal(answer)
        return dict(answer.json()) if answer.content else {}

    @contextlib.contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise GatewayUnreachableError(self.base, error) from error


async def _with_retries(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat a read after temporary errors."""
    for _ in range(_RETRIES):
        try:
            return await attempt()
        except (RequestRefusedError, GatewayUnreachableError) as error:
            if not error.is_temporary:
                raise
        await asyncio.sleep(_PAUSE)
    return await attempt()


def _refusal(answer: httpx.Response) -> RequestRefusedError:
    try:
        document = answer.json()
        wrong = "; ".join(f"{each['field']}: {each['message']}" for each in document.get("errors") or [])
        message = wrong or document.get("detail") or document.get("title") or answer.reason_phrase
    except (ValueError, KeyError, AttributeError):
        message = f"HTTP {answer.status_code} {answer.reason_phrase}"
    return RequestRefusedError(answer.status_code, message)


def connect(folder: DataFolder) -> RestClient:
    """A client of the stack that runs on a data folder.

    Raises:
        CommandError: none runs.
    """
    state = folder.running_stack()
    if state is None and (owner := folder.owner_pid()) is not None:
        raise CommandError(
            f"The Rushes stack on {folder.path} (process {owner}) is starting or stopping.",
            "Try again in a moment.",
            exit_code=FAILED,
        )
    if state is None:
        raise CommandError(
            f"No Rushes stack runs on {folder.path}.",
            "Start one with `rushes up`, or name its folder with --data.",
        )
    return RestClient(state.gateway, folder.api_key)
