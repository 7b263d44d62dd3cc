"""Serves ClientService, CampaignService and AssetService. The contracts document their methods."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.domain import Asset, Campaign, Client
from catalog.core.campaigns.service import AssetService, CampaignService, ClientService
from catalog.edges.grpc import proto_mapping
from catalog.edges.grpc.proto_mapping import Context, given_fields, page_that_fits
from catalog.proto_enums import PROTO_KINDS, facts_from_proto, facts_to_proto, timestamp
from rushes.catalog.v1 import assets_pb2 as asset_pb
from rushes.catalog.v1 import campaigns_pb2 as campaign_pb
from rushes.catalog.v1 import clients_pb2 as client_pb
from rushes.catalog.v1.assets_pb2_grpc import AssetServiceServicer
from rushes.catalog.v1.campaigns_pb2_grpc import CampaignServiceServicer
from rushes.catalog.v1.clients_pb2_grpc import ClientServiceServicer

_NOT_RECORDED_YET = datetime(1970, 1, 1, tzinfo=UTC)


class ClientServicer(ClientServiceServicer):
    def __init__(self, clients: ClientService) -> None:
        self._clients = clients

    async def CreateClient(
        self, request: client_pb.CreateClientRequest, context: Context
    ) -> client_pb.Client:
        optional = given_fields(request, "brand_guidelines", "metadata")
        created = await self._clients.create(name=request.name, reuse=request.reuse, **optional)
        return client_message(created)

    async def GetClient(self, request: client_pb.GetClientRequest, context: Context) -> client_pb.Client:
        return client_message(await self._clients.get(request.id))

    async def ListClients(
        self, request: client_pb.ListClientsRequest, context: Context
    ) -> client_pb.ListClientsResponse:
        return await page_that_fits(
            request,
            partial(self._clients.page, q=request.q),
            lambda page: client_pb.ListClientsResponse(
                clients=[client_message(each) for each in page.items], next_page_token=page.next_token
            ),
        )

    async def UpdateClient(
        self, request: client_pb.UpdateClientRequest, context: Context
    ) -> client_pb.Client:
        changes = given_fields(request, "name", "brand_guidelines", "metadata")
        return client_message(await self._clients.update(request.id, **changes))

    async def DeleteClient(self, request: client_pb.DeleteClientRequest, context: Context) -> Empty:
        await self._clients.delete(request.id)
        return Empty()


class CampaignServicer(CampaignServiceServicer):
    def __init__(self, campaigns: CampaignService) -> None:
        self._campaigns = campaigns

    async def CreateCampaign(
        self, request: campaign_pb.CreateCampaignRequest, context: Context
    ) -> campaign_pb.Campaign:
        optional = given_fields(request, "brief", "budget_cents", "metadata")
        created = await self._campaigns.create(client_id=request.client_id, name=request.name, **optional)
        return campaign_message(created)

    async def GetCampaign(
        self, request: campaign_pb.GetCampaignRequest, context: Context
    ) -> campaign_pb.Campaign:
        return campaign_message(await self._campaigns.get(request.id))

    async def ListCampaigns(
        self, request: campaign_pb.ListCampaignsRequest, context: Context
    ) -> campaign_pb.ListCampaignsResponse:
        return await page_that_fits(
            request,
            partial(self._campaigns.page, client_id=request.client_id, q=request.q),
            lambda page: campaign_pb.ListCampaignsResponse(
                campaigns=[campaign_message(each) for each in page.items], next_page_token=page.next_token
            ),
        )

    async def UpdateCampaign(
        self, request: campaign_pb.UpdateCampaignRequest, context: Context
    ) -> campaign_pb.Campaign:
        changes = given_fields(request, "name", "brief", "budget_cents", "metadata")
        return campaign_message(await self._campaigns.update(request.id, **changes))

    async def DeleteCampaign(self, request: campaign_pb.DeleteCampaignRequest, context: Context) -> Empty:
        await self._campaigns.delete(request.id)
        return Empty()


class AssetServicer(AssetServiceServicer):
    def __init__(self, assets: AssetService) -> None:
        self._assets = assets

    async def CreateAsset(self, request: asset_pb.CreateAssetRequest, context: Context) -> asset_pb.Asset:
        return asset_message(await self._assets.create(_asset(request)))

    async def GetAsset(self, request: asset_pb.GetAssetRequest, context: Context) -> asset_pb.Asset:
        return asset_message(await self._assets.get(request.id))

    async def ListAssets(
        self, request: asset_pb.ListAssetsRequest, context: Context
    ) -> asset_pb.ListAssetsResponse:
        return await page_that_fits(
            request,
            partial(
                self._assets.page,
                client_id=request.client_id,
                campaign_id=request.campaign_id,
                kind=proto_mapping.media_kind_filter(request.kind),
                tag=request.tag,
            ),
            lambda page: asset_pb.ListAssetsResponse(
                assets=[asset_message(each) for each in page.items], next_page_token=page.next_token
            ),
        )

    async def UpdateAsset(self, request: asset_pb.UpdateAssetRequest, context: Context) -> asset_pb.Asset:
        changes = given_fields(request, "name", "description", "metadata")
        if request.tags:
            changes["tags"] = tuple(request.tags)
        return asset_message(await self._assets.update(request.id, **changes))

    async def DeleteAsset(self, request: asset_pb.DeleteAssetRequest, context: Context) -> Empty:
        await self._assets.delete(request.id)
        return Empty()


def client_message(client: Client) -> client_pb.Client:
    return client_pb.Client(
        id=client.id,
        name=client.name,
        brand_guidelines=client.brand_guidelines,
        metadata=proto_mapping.dict_to_struct(client.metadata),
        created_at=timestamp(client.created_at),
        updated_at=timestamp(client.updated_at),
    )


def campaign_message(campaign: Campaign) -> campaign_pb.Campaign:
    return campaign_pb.Campaign(
        id=campaign.id,
        name=campaign.name,
        client_id=campaign.client_id,
        brief=campaign.brief,
        budget_cents=campaign.budget_cents,
        spent_cents=proto_mapping.cents(campaign.spent_micros),
        reserved_cents=proto_mapping.cents(campaign.reserved_micros),
        metadata=proto_mapping.dict_to_struct(campaign.metadata),
        created_at=timestamp(campaign.created_at),
        updated_at=timestamp(campaign.updated_at),
    )


def asset_message(asset: Asset) -> asset_pb.Asset:
    return asset_pb.Asset(
        id=asset.id,
        name=asset.name,
        description=asset.description,
        tags=list(asset.tags),
        kind=PROTO_KINDS[asset.facts.kind],
        client_id=asset.client_id,
        campaign_id=asset.campaign_id or None,
        filename=asset.filename,
        facts=facts_to_proto(asset.facts),
        url=proto_mapping.asset_url(asset.id),
        thumbnail_url=proto_mapping.asset_thumbnail_url(asset.id) if asset.facts.kind.has_thumbnail else "",
        metadata=proto_mapping.dict_to_struct(asset.metadata),
        created_at=timestamp(asset.created_at),
        updated_at=timestamp(asset.updated_at),
    )


def _asset(request: asset_pb.CreateAssetRequest) -> Asset:
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
