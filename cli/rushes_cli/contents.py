"""Every stored file read to its end, and compared with what was recorded when it was stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from rushes_cli.rest import NoAnswer, Refused, RestClient

_FILES = "/api/v3/admin/storage/stats"
_ASSETS = "/api/v3/assets"
_PAGE = 200
_TRIES = 2
"""Of a file that breaks off: the gateway may just have restarted."""


@dataclass(frozen=True)
class Recorded:
    """A file as its record tells of it. `id`: the asset, the media, or for a cut its job."""

    id: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Damaged:
    """A file that is not what it was, or that cannot be read; `why` in a few words."""

    id: str
    url: str
    why: str


async def damaged(client: RestClient) -> list[Damaged]:
    """Outputs, cuts and assets whose bytes are not those that were stored. What is missing is left out.

    Raises:
        Refused, NoAnswer: the gateway does not tell what there is.
    """
    return [
        Damaged(file.id, file.url, why)
        async for file in _recorded(client)
        if (why := await _fault(client, file))
    ]


async def _recorded(client: RestClient) -> AsyncIterator[Recorded]:
    token = ""
    while True:
        page = await client.get(_FILES, page_size=_PAGE, page_token=token)
        for file in page["files"]:
            yield Recorded(file["id"], file["url"], file["sha256"])
        if not (token := page["next_page_token"]):
            break
    while True:
        page = await client.get(_ASSETS, page_size=_PAGE, page_token=token)
        for asset in page["assets"]:
            yield Recorded(asset["id"], asset["url"], asset["facts"]["sha256"])
        if not (token := page["next_page_token"]):
            return


async def _fault(client: RestClient, file: Recorded) -> str:
    for _ in range(_TRIES):
        try:
            return "" if await client.digest(file.url) == file.sha256 else "other bytes than were stored"
        except Refused as refused:
            if refused.status == 404:  # missing, or deleted meanwhile
                return ""
            if not refused.is_passing:
                return str(refused)
        except NoAnswer:
            # Of this file alone? When nobody answers at all, nothing is known of any: this says so.
            await client.get(_FILES, page_size=1)
    return "cannot be read to its end"
