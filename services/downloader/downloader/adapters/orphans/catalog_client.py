"""Calls the catalog, which knows the records that name blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc.aio

from downloader.core.orphans.ports import BlobReference
from rushes.catalog.v1 import storage_pb2, storage_pb2_grpc
from servicekit.grpc.client import open_channel

_PAGE = 200


class CatalogClient:
    """A `Part`, and `core.orphans.ports.Records`; its channel raises `AppError`s."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None
        self._storage: Any = None

    async def start(self) -> None:
        """Open the channel; it connects when first used."""
        self._channel = open_channel(self._address)
        self._storage = storage_pb2_grpc.StorageServiceStub(self._channel)

    async def stop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def system(self) -> str:
        return str((await self._storage.FindUnneeded(storage_pb2.FindUnneededRequest())).system)

    async def unneeded(self, keys: Sequence[str]) -> Sequence[str]:
        response = await self._storage.FindUnneeded(storage_pb2.FindUnneededRequest(blob_keys=keys))
        return list(response.blob_keys)

    async def references(self, page_token: str) -> tuple[Sequence[BlobReference], str]:
        response = await self._storage.ListNamedBlobs(
            storage_pb2.ListNamedBlobsRequest(page_size=_PAGE, page_token=page_token)
        )
        return [BlobReference(blob.id, blob.blob_key) for blob in response.blobs], response.next_page_token
