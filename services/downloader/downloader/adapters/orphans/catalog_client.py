"""Calls the catalog, which knows the records that name blobs."""

from __future__ import annotations

from collections.abc import Sequence

from downloader.core.orphans.orphan_sweep import BlobReference
from rushes.catalog.v1 import storage_pb2, storage_pb2_grpc

_PAGE = 200


class CatalogClient:
    """`core.orphans.orphan_sweep.Records`; its channel raises `AppError`s."""

    def __init__(self, storage: storage_pb2_grpc.StorageServiceAsyncStub) -> None:
        self._storage = storage

    async def system(self) -> str:
        return (await self._storage.FindUnneeded(storage_pb2.FindUnneededRequest())).system

    async def unneeded(self, keys: Sequence[str]) -> Sequence[str]:
        response = await self._storage.FindUnneeded(storage_pb2.FindUnneededRequest(blob_keys=keys))
        return list(response.blob_keys)

    async def references(self, page_token: str) -> tuple[Sequence[BlobReference], str]:
        response = await self._storage.ListNamedBlobs(
            storage_pb2.ListNamedBlobsRequest(page_size=_PAGE, page_token=page_token)
        )
        return [BlobReference(blob.id, blob.blob_key) for blob in response.blobs], response.next_page_token
