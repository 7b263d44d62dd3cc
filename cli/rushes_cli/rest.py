"""A client of the REST interface: what the commands ask of a running stack."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import aconnect_sse

from rushes_cli.problems import FAILED, Problem

T = TypeVar("T")

_RETRIES = 20
_PAUSE = 0.5
"""Seconds between two attempts of a read: a gateway that restarts is waited for about ten seconds."""

_PASSING = (408, 429, 502, 503, 504)
"""Statuses that say "not now" of what may well be right."""


@dataclass(frozen=True)
class Fact:
    """One fact of the event log as the gateway shows it; without data it only says how far the stream is."""

    sequence: int
    type: str
    data: Mapping[str, Any]


class Refused(Problem):
    """The gateway said no; carries its problem document's sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence, exit_code=FAILED)
        self.status = status

    @property
    def is_passing(self) -> bool:
        """Whether the very same request may be answered in a moment."""
        return self.status in _PASSING


class NoAnswer(Problem):
    """Nobody answers at the gateway's address, or not to the end."""

    def __init__(self, base: str, error: httpx.TransportError) -> None:
        super().__init__(
            f"{base} does not answer ({type(error).__name__}).",
            "Look with `rushes doctor`, or start the system with `rushes up`.",
            exit_code=FAILED,
        )
        self.is_passing = not isinstance(error, httpx.TimeoutException)
        """Whether another attempt makes sense: one that took its whole time has been waited for enough."""


class RestClient:
    """Talks to one gateway with one key. An async context manager."""

    def __init__(self, base: str, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base,
            headers={"X-API-Key": key},
            timeout=httpx.Timeout(30.0, read=60.0),
        )
        self.base = base

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """The JSON at `path`; a gateway that restarts is waited for.

        Raises:
            Refused: the gateway answered an error.
            NoAnswer: nobody answers.
        """
        return await _patiently(lambda: self._call("GET", path, params=query))

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post JSON, answer JSON, in one attempt. Raises like `get`."""
        return await self._call("POST", path, json=dict(body or {}))

    async def delete(self, path: str) -> None:
        """Remove what is at `path`. Raises like `get`."""
        await self._call("DELETE", path)

    async def upload(self, path: Path, fields: Mapping[str, str]) -> dict[str, Any]:
        """Upload a file as an asset; answers the asset. Raises like `get`."""
        with path.open("rb") as file:
            return await self._call(
                "POST", "/api/v3/assets", data=dict(fields), files={"file": (path.name, file)}
            )

    async def download(self, path: str, to: Path) -> None:
        """Store the bytes at `path` in the file `to`, whole or not at all. Waits and raises like `get`."""
        await _patiently(lambda: self._download(path, to))

    async def digest(self, path: str) -> str:
        """The SHA-256 of the bytes at `path`, in lower-case hexadecimal; one attempt. Raises like `get`."""
        digest = hashlib.sha256()
        async with self._opened(path) as answer:
            async for chunk in answer.aiter_bytes(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    async def _download(self, path: str, to: Path) -> None:
        fresh = to.with_name(to.name + ".part")
        async with self._opened(path) as answer:
            with fresh.open("wb") as file:
                async for chunk in answer.aiter_bytes(1 << 20):
                    file.write(chunk)
        fresh.replace(to)

    @asynccontextmanager
    async def _opened(self, path: str) -> AsyncIterator[httpx.Response]:
        with self._answering():
            async with self._http.stream("GET", path) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refused(answer)
                yield answer

    async def facts(self, path: str, *, after: int | None = None, **query: str) -> AsyncGenerator[Fact]:
        """Live facts from `path`, after a sequence or from now on, for ever. Close it (`aclosing`) when done.

        The first says where the stream begins. A stream that breaks goes on where it was. Raises like `get`.
        """
        last, failures = after, 0
        while True:
            try:
                async with aclosing(self._stream(path, last, query)) as facts:
                    async for fact in facts:
                        last, failures = fact.sequence, 0
                        yield fact
            except (Refused, NoAnswer) as error:
                failures += 1
                if failures > _RETRIES or (isinstance(error, Refused) and not error.is_passing):
                    raise
            await asyncio.sleep(_PAUSE)

    async def _stream(self, path: str, after: int | None, query: Mapping[str, str]) -> AsyncGenerator[Fact]:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        timeout = httpx.Timeout(30.0, read=45.0)  # the gateway sends a comment every 15 s
        with self._answering():
            async with aconnect_sse(
                self._http, "GET", path, headers=headers, params=query, timeout=timeout
            ) as source:
                if source.response.is_error:
                    await source.response.aread()
                    raise _refused(source.response)
                async for event in source.aiter_sse():
                    yield Fact(int(event.id), event.event, json.loads(event.data or "{}"))

    async def _call(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        with self._answering():
            answer = await self._http.request(method, path, **parts)
        if answer.is_error:
            raise _refused(answer)
        return dict(answer.json()) if answer.content else {}

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise NoAnswer(self.base, error) from error


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat a read while nobody answers it, or with "not now"."""
    for _ in range(_RETRIES):
        try:
            return await attempt()
        except (Refused, NoAnswer) as error:
            if not error.is_passing:
                raise
        await asyncio.sleep(_PAUSE)
    return await attempt()


def _refused(answer: httpx.Response) -> Refused:
    try:
        told = answer.json()
        wrong = "; ".join(f"{each['field']}: {each['message']}" for each in told.get("errors") or [])
        sentence = wrong or told.get("detail") or told.get("title") or answer.reason_phrase
    except (ValueError, KeyError, AttributeError):
        sentence = f"HTTP {answer.status_code} {answer.reason_phrase}"
    return Refused(answer.status_code, sentence)
