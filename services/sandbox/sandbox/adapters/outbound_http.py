"""HTTP requests that this server makes: fetching the files of an input, posting webhooks."""

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
"""For a webhook's receiver, who is to answer "within a few seconds"."""

_TROUBLE = (aiohttp.ClientError, TimeoutError, ValueError, OSError)
"""No answer, or no address that could have one."""


class Outbound:
    """Implements the ports `Inputs` and `Sender` over one HTTP client."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    @property
    def _http(self) -> aiohttp.ClientSession:
        """Opened at its first use: it needs the loop to run."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=20.0),
                connector=aiohttp.TCPConnector(limit=200),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def stop(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The HTTP status of the answer; 0 when there was none. Redirects are not followed."""
        try:
            async with self._http.post(
                URL(url, encoded=True), headers=headers, data=body, allow_redirects=False, timeout=_POST
            ) as answer:
                return answer.status
        except _TROUBLE:
            return 0

    async def fetch(self, address: str, folder: Path) -> Path:
        """The file behind a data URI or an address, stored in the folder.

        Raises:
            RenderError: it cannot be had, or is larger than 100 MiB.
        """
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a folder on the local disk
        if address.startswith("data:"):
            target = folder / _name(address)
            target.write_bytes(_inline(address))
            return target
        own = self._own(address)
        if own is not None:
            return own
        target = folder / _name(address)
        try:
            async with self._http.get(URL(address, encoded=True)) as answer:
                if answer.status != 200:
                    raise RenderError(f"The input was invalid. {_short(address)} answered {answer.status}")
                size = 0
                with target.open("wb") as out:
                    async for chunk in answer.content.iter_any():
                        size += len(chunk)
                        if size > LIMIT_BYTES:
                            raise RenderError(
                                f"The input was invalid. {_short(address)} is larger than 100 MiB"
                            )
                        out.write(chunk)
        except _TROUBLE as trouble:
            raise RenderError(
                f"The input was invalid. {_short(address)} cannot be read: {type(trouble).__name__}"
            ) from trouble
        return target

    def _own(self, address: str) -> Path | None:
        """Bytes behind one of our own addresses: `urls.get` of an upload answers JSON, yet means the file."""
        parts = urlsplit(address).path.strip("/").split("/")
        if parts[:2] == ["v1", "files"] and len(parts) >= 3:
            upload = self._store.upload(parts[2])
            return None if upload is None else upload.path
        if parts[0] == "files" and len(parts) == 3:
            output = self._store.file(parts[1])
            return output.path if output is not None and output.path.exists() else None
        return None


def _name(address: str) -> str:
    return "in-" + hashlib.sha256(address.encode()).hexdigest()[:16]


def _short(address: str) -> str:
    """Host and path only: an address may carry a signature."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path[:60]}"


def _inline(address: str) -> bytes:
    head, comma, body = address.partition(",")
    if not comma:
        raise RenderError("The input was invalid. A data URI has no comma")
    if not head.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as trouble:
        raise RenderError("The input was invalid. A data URI is not base64") from trouble
