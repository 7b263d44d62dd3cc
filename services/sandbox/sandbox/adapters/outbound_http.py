"""Makes HTTP requests: fetches the files of an input, and posts webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import aiohttp
from yarl import URL

from sandbox.core.predictions.ports import RenderError, Store

LIMIT_BYTES = 100 * 1024 * 1024

_POST = aiohttp.ClientTimeout(total=10.0)
"""A receiver of a webhook must answer "within a few seconds"."""

_NO_ANSWER = (aiohttp.ClientError, TimeoutError, ValueError, OSError)
"""Also raised for an address that cannot be requested at all."""


class OutboundHttp:
    """`InputFiles` and `WebhookSender` over one HTTP client."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    @property
    def _http(self) -> aiohttp.ClientSession:
        """Opened at its first use, because it needs a running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=20.0),
                connector=aiohttp.TCPConnector(limit=200),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        try:
            async with self._http.post(
                URL(url, encoded=True), headers=headers, data=body, allow_redirects=False, timeout=_POST
            ) as answer:
                return answer.status
        except _NO_ANSWER:
            return 0

    async def fetch(self, address: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a folder on the local disk
        target = folder / ("in-" + hashlib.sha256(address.encode()).hexdigest()[:16])
        if address.startswith("data:"):
            target.write_bytes(_decode_data_uri(address))
            return target
        own = self._own_file(address)
        if own is not None:
            return own
        try:
            async with self._http.get(URL(address, encoded=True)) as answer:
                if answer.status != 200:
                    raise RenderError(f"{_without_query(address)} answered {answer.status}")
                size = 0
                with target.open("wb") as out:
                    async for chunk in answer.content.iter_any():
                        size += len(chunk)
                        if size > LIMIT_BYTES:
                            raise RenderError(f"{_without_query(address)} is larger than 100 MiB")
                        out.write(chunk)
        except _NO_ANSWER as error:
            problem = f"{_without_query(address)} cannot be read: {type(error).__name__}"
            raise RenderError(problem) from error
        return target

    def _own_file(self, address: str) -> Path | None:
        """The file of an address of ours. `urls.get` of an upload answers JSON, but stands for the file."""
        parts = urlsplit(address).path.strip("/").split("/")
        if parts[:2] == ["v1", "files"] and len(parts) >= 3:
            upload = self._store.upload(parts[2])
            return None if upload is None else upload.path
        if parts[0] == "files" and len(parts) == 3:
            output = self._store.file(parts[1])
            return output.path if output is not None and output.path.exists() else None
        return None


def _without_query(address: str) -> str:
    """The query may hold a signature."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path[:60]}"


def _decode_data_uri(address: str) -> bytes:
    head, comma, body = address.partition(",")
    if not comma:
        raise RenderError("A data URI has no comma")
    if not head.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise RenderError("A data URI is not base64") from error
