"""Serves CampaignService. The contract documents its methods."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.domain import Campaign
from catalog.core.campaigns.service import CampaignService
from catalog.core.shared.paging import PageRequest
from catalog.edges.grpc.proto_mapping import (
    Context,
    cents,
    dict_to_struct,
    given_fields,
    page_that_fits,
    timestamp,
)
from rushes.catalog.v1 import campaigns_pb2 as pb
from rushes.catalog.v1 import campaigns_pb2_grpc


class CampaignServicer(campaigns_pb2_grpc.CampaignServiceServicer):
    def __init__(self, campaigns: CampaignService) -> None:
        self._campaigns = campaigns

    async def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Context) -> pb.Campaign:
        optional = given_fields(request, "brief", "budget_cents", "metadata")
        created = await self._campaigns.create(client_id=request.client_id, name=request.name, **optional)
        return campaign_message(created)

    async def GetCampaign(self, request: pb.GetCampaignRequest, context: Context) -> pb.Campaign:
        return campaign_message(await self._campaigns.get(request.id))

    async def ListCampaigns(
        self,
        request: pb.ListCampaignsRequest,
        context: Context,
    ) -> pb.ListCampaignsResponse:
        async def fetch(paging: PageRequest) -> pb.ListCampaignsResponse:
            page = await self._campaigns.page(paging, request.client_id, request.q)
            return pb.ListCampaignsResponse(
                campaigns=[campaign_message(each) for each in page.items], next_page_token=page.next_token
            )

        return await page_that_fits(request, fetch)

    async def UpdateCampaign(self, request: pb.UpdateCampaignRequest, context: Context) -> pb.Campaign:
        changes = given_fields(request, "name", "brief", "budget_cents", "metadata")
        return campaign_message(await self._campaigns.update(request.id, **changes))

    async def DeleteCampaign(self, request: pb.DeleteCampaignRequest, context: Context) -> Empty:
        await self._campaigns.delete(request.id)
        return Empty()


def campaign_message(campaign: Campaign) -> pb.Campaign:
    return pb.Campaign(
        id=campaign.id,
        name=campaign.name,
        client_id=campaign.client_id,
        brief=campaign.brief,
        budget_cents=campaign.budget_cents,
        spent_cents=cents(campaign.spent_micros),
        reserved_cents=cents(campaign.reserved_micros),
        metadata=dict_to_struct(campaign.metadata),
        created_at=timestamp(campaign.created_at),
        updated_at=timestamp(campaign.updated_at),
    )
