"""A client of the REST interface: what the commands ask of a running stack."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import aconnect_sse

from rushes_cli.problems import FAILED, Problem

_RETRIES = 20
"""Connection attempts of a read while a gateway restarts: about ten seconds with the waits between them."""


@dataclass(frozen=True)
class Fact:
    """One fact of the event log as the gateway shows it."""

    sequence: str
    type: str
    data: Mapping[str, Any]


class Refused(Problem):
    """The gateway said no; carries its problem document's sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence, exit_code=FAILED)
        self.status = status


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
        """The JSON at `path`.

        Raises:
            Refused: the gateway answered an error.
            Problem: nobody answers.
        """
        return await self._call("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post JSON, answer JSON. Raises like `get`."""
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
        """Store the bytes at `path` in the file `to`, whole or not at all. Raises like `get`."""
        fresh = to.with_name(to.name + ".part")
        async with self._http.stream("GET", path) as answer:
            if answer.is_error:
                await answer.aread()
                raise _refused(answer)
            with fresh.open("wb") as file:
                async for chunk in answer.aiter_bytes(1 << 20):
                    file.write(chunk)
        fresh.replace(to)

    async def facts(self, path: str, *, after: str | None = None, **query: str) -> AsyncIterator[Fact]:
        """Live facts from `path`, starting after a sequence when one is given, until the stream ends."""
        headers = {} if after is None else {"Last-Event-ID": after}
        timeout = httpx.Timeout(30.0, read=45.0)  # the gateway sends a comment every 15 s
        async with aconnect_sse(
            self._http, "GET", path, headers=headers, params=query, timeout=timeout
        ) as source:
            if source.response.is_error:
                await source.response.aread()
                raise _refused(source.response)
            async for event in source.aiter_sse():
                yield Fact(event.id, event.event, json.loads(event.data or "{}"))

    async def _call(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise Problem(
                f"{self.base} does not answer ({type(error).__name__}).",
                "Look with `rushes doctor`, or start the system with `rushes up`.",
                exit_code=FAILED,
            ) from error
        if answer.is_error:
            raise _refused(answer)
        return dict(answer.json()) if answer.content else {}


def _refused(answer: httpx.Response) -> Refused:
    try:
        told = answer.json()
        wrong = "; ".join(f"{each['field']}: {each['message']}" for each in told.get("errors") or [])
        sentence = wrong or told.get("detail") or told.get("title") or answer.reason_phrase
    except (ValueError, KeyError, AttributeError):
        sentence = f"HTTP {answer.status_code} {answer.reason_phrase}"
    return Refused(answer.status_code, sentence)
