"""The records that name blobs, at the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc.aio

from downloader.core.orphans.orphan_sweep import Named
from rushes.catalog.v1 import storage_pb2, storage_pb2_grpc
from servicekit.grpc.client import open_channel

_PAGE = 200


class CatalogRecords:
    """A `Part`, and `core.sweep.Records`; its channel raises `AppError`s."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None
        self._storage: Any = None

    async def start(self) -> None:
        """Open the channel; it connects when first used."""
        self._channel = open_channel(self._address)
        self._storage = storage_pb2_grpc.StorageServiceStub(self._channel)

    async def stop(self) -> None:
        """Close the channel."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def system(self) -> str:
        """The name of the system whose records these are."""
        return str((await self._storage.FindUnneeded(storage_pb2.FindUnneededRequest())).system)

    async def unneeded(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of the keys that no record names, nor will."""
        answer = await self._storage.FindUnneeded(storage_pb2.FindUnneededRequest(blob_keys=keys))
        return list(answer.blob_keys)

    async def named(self, token: str) -> tuple[Sequence[Named], str]:
        """A page of what records say is stored, and the token of the next one; empty after the last."""
        answer = await self._storage.ListNamedBlobs(
            storage_pb2.ListNamedBlobsRequest(page_size=_PAGE, page_token=token)
        )
        return [Named(blob.id, blob.blob_key) for blob in answer.blobs], answer.next_page_token
