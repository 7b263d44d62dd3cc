"""AssetService."""

# the contract names the methods, and documents them

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.service import Library, has_thumbnail
from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import Asset
from catalog.edges.grpc.proto_mapping import (
    Context,
    asset_thumbnail_url,
    asset_url,
    kind_filter,
    mapping,
    page_within,
    stamp,
    struct,
)
from catalog.proto_enums import KINDS, facts_message, facts_of
from rushes.catalog.v1 import assets_pb2 as pb
from rushes.catalog.v1 import assets_pb2_grpc

NAME = "rushes.catalog.v1.AssetService"
_UNSET = datetime(1970, 1, 1, tzinfo=UTC)


class AssetServicer(assets_pb2_grpc.AssetServiceServicer):
    """The files people upload."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def CreateAsset(self, request: pb.CreateAssetRequest, context: Context) -> pb.Asset:
        return asset_message(await self._library.add_asset(_asset(request)))

    async def GetAsset(self, request: pb.GetAssetRequest, context: Context) -> pb.Asset:
        return asset_message(await self._library.asset(request.id))

    async def ListAssets(self, request: pb.ListAssetsRequest, context: Context) -> pb.ListAssetsResponse:
        async def ask(paging: PageRequest) -> pb.ListAssetsResponse:
            page = await self._library.assets(
                paging,
                client_id=request.client_id,
                campaign_id=request.campaign_id,
                kind=kind_filter(request.kind),
                tag=request.tag,
            )
            return pb.ListAssetsResponse(
                assets=[asset_message(each) for each in page.items], next_page_token=page.next_token
            )

        return await page_within(request, ask)

    async def UpdateAsset(self, request: pb.UpdateAssetRequest, context: Context) -> pb.Asset:
        changes: dict[str, Any] = {
            name: getattr(request, name) for name in ("name", "description") if request.HasField(name)
        }
        if request.tags:
            changes["tags"] = tuple(request.tags)
        if request.HasField("metadata"):
            changes["metadata"] = mapping(request.metadata)
        return asset_message(await self._library.change_asset(request.id, **changes))

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: Context) -> Empty:
        await self._library.remove_asset(request.id)
        return Empty()


def asset_message(asset: Asset) -> pb.Asset:
    """An asset as a message."""
    return pb.Asset(
        id=asset.id,
        name=asset.name,
        description=asset.description,
        tags=list(asset.tags),
        kind=KINDS[asset.facts.kind],
        client_id=asset.client_id,
        campaign_id=asset.campaign_id or None,
        filename=asset.filename,
        facts=facts_message(asset.facts),
        url=asset_url(asset.id),
        thumbnail_url=asset_thumbnail_url(asset.id) if has_thumbnail(asset.facts.kind) else "",
        metadata=struct(asset.metadata),
        created_at=stamp(asset.created_at),
        updated_at=stamp(asset.updated_at),
    )


def _asset(request: pb.CreateAssetRequest) -> Asset:
    return Asset(
        id=request.id,
        client_id=request.client_id,
        campaign_id=request.campaign_id,
        name=request.name or request.filename,
        description=request.description if request.HasField("description") else None,
        tags=tuple(request.tags),
        filename=request.filename,
        blob_key=request.blob_key,
        facts=facts_of(request.facts),
        metadata=mapping(request.metadata) if request.HasField("metadata") else None,
        created_at=_UNSET,  # both are set where it is recorded
        updated_at=_UNSET,
    )
