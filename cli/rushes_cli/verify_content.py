"""Reads every stored file to its end, and compares its SHA-256 with the record's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from rushes_cli.rest_client import GatewayUnreachableError, RequestRefusedError, RestClient

_FILES = "/api/v3/admin/storage/stats"
_ASSETS = "/api/v3/assets"
_PAGE = 200
_ATTEMPTS = 2
"""To read a file whose transfer breaks off: the gateway may just have restarted."""


@dataclass(frozen=True)
class StoredFile:
    """A file by its record. `id`: of the asset, of the media, or for a cut of its job."""

    id: str
    url: str
    sha256: str


@dataclass(frozen=True)
class DamagedFile:
    """A file that has changed, or that cannot be read; `damage` in a few words."""

    id: str
    url: str
    damage: str


async def find_damaged(client: RestClient) -> list[DamagedFile]:
    """Outputs, cuts and assets whose bytes are not those that were stored. Missing ones are left out.

    Raises:
        RequestRefusedError, GatewayUnreachableError: the gateway cannot list the files.
    """
    return [
        DamagedFile(file.id, file.url, damage)
        async for file in _stored_files(client)
        if (damage := await _damage(client, file))
    ]


async def _stored_files(client: RestClient) -> AsyncIterator[StoredFile]:
    async for page in client.pages(_FILES, page_size=_PAGE):
        for file in page["files"]:
            yield StoredFile(file["id"], file["url"], file["sha256"])
    async for page in client.pages(_ASSETS, page_size=_PAGE):
        for asset in page["assets"]:
            yield StoredFile(asset["id"], asset["url"], asset["facts"]["sha256"])


async def _damage(client: RestClient, file: StoredFile) -> str:
    for _ in range(_ATTEMPTS):
        try:
            return "" if await client.digest(file.url) == file.sha256 else "other bytes than were stored"
        except RequestRefusedError as error:
            if error.status == 404:  # missing, or deleted meanwhile
                return ""
            if not error.is_temporary:
                return str(error)
        except GatewayUnreachableError:
            # Is it this file alone, or does the gateway answer nothing? In that case this raises.
            await client.get(_FILES, page_size=1)
    return "cannot be read to its end"
