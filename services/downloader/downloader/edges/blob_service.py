"""BlobService: what the sweep sees, for operators."""

# the contract names the methods, and documents them

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from downloader.core.orphans.orphan_sweep import StoredBlob, Sweep
from rushes.downloader.v1 import blobs_pb2 as pb
from rushes.downloader.v1 import blobs_pb2_grpc
from servicekit.errors import Precondition

BLOBS = pb.DESCRIPTOR.services_by_name["BlobService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class BlobServicer(blobs_pb2_grpc.BlobServiceServicer):
    """The blob store compared with the records. Without a sweep (no catalog is known) it refuses."""

    def __init__(self, sweep: Sweep | None) -> None:
        self._sweep = sweep

    async def ListUnneededBlobs(
        self, request: pb.ListUnneededBlobsRequest, _context: Context
    ) -> pb.ListUnneededBlobsResponse:
        page = await self._known().look(request.page_token)
        return pb.ListUnneededBlobsResponse(
            looked_at=page.looked_at,
            blobs=[_unneeded(blob) for blob in page.unneeded],
            next_page_token=page.after,
        )

    async def ListMissingBlobs(
        self, request: pb.ListMissingBlobsRequest, _context: Context
    ) -> pb.ListMissingBlobsResponse:
        looked_at, gone, following = await self._known().missing(request.page_token)
        return pb.ListMissingBlobsResponse(
            looked_at=looked_at,
            blobs=[pb.MissingBlob(id=each.id, blob_key=each.key) for each in gone],
            next_page_token=following,
        )

    def _known(self) -> Sweep:
        if self._sweep is None:
            raise Precondition(
                "this downloader knows no catalog to compare with: set CATALOG_ADDRESS, and start it again",
                code="no_catalog",
            )
        return self._sweep


def _unneeded(blob: StoredBlob) -> pb.UnneededBlob:
    at = Timestamp()
    at.FromDatetime(blob.stored_at)
    return pb.UnneededBlob(blob_key=blob.key, size_bytes=blob.size, stored_at=at)
