"""Serves AssetService. The contract documents its methods."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.domain import Asset
from catalog.core.campaigns.service import AssetService
from catalog.core.shared.paging import PageRequest
from catalog.edges.grpc.proto_mapping import (
    Context,
    asset_thumbnail_url,
    asset_url,
    dict_to_struct,
    given_fields,
    media_kind_filter,
    page_that_fits,
    timestamp,
)
from catalog.proto_enums import PROTO_KINDS, facts_from_proto, facts_to_proto
from rushes.catalog.v1 import assets_pb2 as pb
from rushes.catalog.v1 import assets_pb2_grpc

_NOT_RECORDED_YET = datetime(1970, 1, 1, tzinfo=UTC)


class AssetServicer(assets_pb2_grpc.AssetServiceServicer):
    def __init__(self, assets: AssetService) -> None:
        self._assets = assets

    async def CreateAsset(self, request: pb.CreateAssetRequest, context: Context) -> pb.Asset:
        return asset_message(await self._assets.create(_asset(request)))

    async def GetAsset(self, request: pb.GetAssetRequest, context: Context) -> pb.Asset:
        return asset_message(await self._assets.get(request.id))

    async def ListAssets(self, request: pb.ListAssetsRequest, context: Context) -> pb.ListAssetsResponse:
        async def fetch(paging: PageRequest) -> pb.ListAssetsResponse:
            page = await self._assets.page(
                paging,
                client_id=request.client_id,
                campaign_id=request.campaign_id,
                kind=media_kind_filter(request.kind),
                tag=request.tag,
            )
            return pb.ListAssetsResponse(
                assets=[asset_message(each) for each in page.items], next_page_token=page.next_token
            )

        return await page_that_fits(request, fetch)

    async def UpdateAsset(self, request: pb.UpdateAssetRequest, context: Context) -> pb.Asset:
        changes = given_fields(request, "name", "description", "metadata")
        if request.tags:
            changes["tags"] = tuple(request.tags)
        return asset_message(await self._assets.update(request.id, **changes))

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: Context) -> Empty:
        await self._assets.delete(request.id)
        return Empty()


def asset_message(asset: Asset) -> pb.Asset:
    return pb.Asset(
        id=asset.id,
        name=asset.name,
        description=asset.description,
        tags=list(asset.tags),
        kind=PROTO_KINDS[asset.facts.kind],
        client_id=asset.client_id,
        campaign_id=asset.campaign_id or None,
        filename=asset.filename,
        facts=facts_to_proto(asset.facts),
        url=asset_url(asset.id),
        thumbnail_url=asset_thumbnail_url(asset.id) if asset.facts.kind.has_thumbnail else "",
        metadata=dict_to_struct(asset.metadata),
        created_at=timestamp(asset.created_at),
        updated_at=timestamp(asset.updated_at),
    )


def _asset(request: pb.CreateAssetRequest) -> Asset:
    return Asset(
        id=request.id,
        client_id=request.client_id,
        campaign_id=request.campaign_id,
        name=request.name or request.filename,
        tags=tuple(request.tags),
        filename=request.filename,
        blob_key=request.blob_key,
        facts=facts_from_proto(request.facts),
        created_at=_NOT_RECORDED_YET,
        updated_at=_NOT_RECORDED_YET,
        **given_fields(request, "description", "metadata"),
    )
