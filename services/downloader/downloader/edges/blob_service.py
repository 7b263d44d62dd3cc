"""Serves BlobService: what the orphan sweep finds, for operators."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from downloader.core.orphans.orphan_sweep import ListedBlob, OrphanSweep
from rushes.downloader.v1 import blobs_pb2 as pb
from rushes.downloader.v1 import blobs_pb2_grpc
from servicekit.errors import Precondition

Context = grpc.aio.ServicerContext[Any, Any]


class BlobServicer(blobs_pb2_grpc.BlobServiceServicer):
    """Without a sweep, because no catalog is configured, it refuses."""

    def __init__(self, sweep: OrphanSweep | None) -> None:
        self._sweep = sweep

    async def ListUnneededBlobs(
        self, request: pb.ListUnneededBlobsRequest, _context: Context
    ) -> pb.ListUnneededBlobsResponse:
        page = await self._configured().unneeded_page(request.page_token)
        return pb.ListUnneededBlobsResponse(
            looked_at=len(page.compared),
            blobs=[_unneeded(blob) for blob in page.unneeded],
            next_page_token=page.after,
        )

    async def ListMissingBlobs(
        self, request: pb.ListMissingBlobsRequest, _context: Context
    ) -> pb.ListMissingBlobsResponse:
        page = await self._configured().missing_page(request.page_token)
        return pb.ListMissingBlobsResponse(
            looked_at=page.compared,
            blobs=[pb.MissingBlob(id=each.id, blob_key=each.key) for each in page.missing],
            next_page_token=page.next_page_token,
        )

    def _configured(self) -> OrphanSweep:
        if self._sweep is None:
            raise Precondition(
                "this downloader knows no catalog to compare with: set CATALOG_ADDRESS, and start it again",
                code="no_catalog",
            )
        return self._sweep


def _unneeded(blob: ListedBlob) -> pb.UnneededBlob:
    at = Timestamp()
    at.FromDatetime(blob.stored_at)
    return pb.UnneededBlob(blob_key=blob.key, size_bytes=blob.size, stored_at=at)
