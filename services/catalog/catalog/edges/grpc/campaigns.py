"""CampaignService."""

# the contract names the methods, and documents them

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.service import Library
from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import Campaign
from catalog.edges.grpc.proto_mapping import Context, cents, mapping, page_within, stamp, struct
from rushes.catalog.v1 import campaigns_pb2 as pb
from rushes.catalog.v1 import campaigns_pb2_grpc

NAME = "rushes.catalog.v1.CampaignService"
_OPTIONAL = ("brief", "budget_cents")


class CampaignServicer(campaigns_pb2_grpc.CampaignServiceServicer):
    """The pieces of advertising work."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Context) -> pb.Campaign:
        optional = {name: getattr(request, name) if request.HasField(name) else None for name in _OPTIONAL}  # type: ignore[arg-type]  # stubs want literals
        made = await self._library.add_campaign(
            client_id=request.client_id,
            name=request.name,
            metadata=mapping(request.metadata) if request.HasField("metadata") else None,
            **optional,
        )
        return campaign_message(made)

    async def GetCampaign(self, request: pb.GetCampaignRequest, context: Context) -> pb.Campaign:
        return campaign_message(await self._library.campaign(request.id))

    async def ListCampaigns(
        self,
        request: pb.ListCampaignsRequest,
        context: Context,
    ) -> pb.ListCampaignsResponse:
        async def ask(paging: PageRequest) -> pb.ListCampaignsResponse:
            page = await self._library.campaigns(paging, request.client_id, request.q)
            return pb.ListCampaignsResponse(
                campaigns=[campaign_message(each) for each in page.items], next_page_token=page.next_token
            )

        return await page_within(request, ask)

    async def UpdateCampaign(self, request: pb.UpdateCampaignRequest, context: Context) -> pb.Campaign:
        changes: dict[str, Any] = {
            name: getattr(request, name)
            for name in ("name", *_OPTIONAL)
            if request.HasField(name)  # type: ignore[arg-type]  # stubs want literals
        }
        if request.HasField("metadata"):
            changes["metadata"] = mapping(request.metadata)
        return campaign_message(await self._library.change_campaign(request.id, **changes))

    async def DeleteCampaign(self, request: pb.DeleteCampaignRequest, context: Context) -> Empty:
        await self._library.remove_campaign(request.id)
        return Empty()


def campaign_message(campaign: Campaign) -> pb.Campaign:
    """A campaign as a message."""
    return pb.Campaign(
        id=campaign.id,
        name=campaign.name,
        client_id=campaign.client_id,
        brief=campaign.brief,
        budget_cents=campaign.budget_cents,
        spent_cents=cents(campaign.spent_micros),
        reserved_cents=cents(campaign.reserved_micros),
        metadata=struct(campaign.metadata),
        created_at=stamp(campaign.created_at),
        updated_at=stamp(campaign.updated_at),
    )
