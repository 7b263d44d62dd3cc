"""Takes uploads, by form and by address."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from gateway.core.problems.domain import refuse_if_any
from gateway.core.rpc_call import Calls
from gateway.edges.auth.signed_urls import LONGEST_TTL, SignedUrls
from gateway.edges.http.request_body import content_type
from gateway.edges.rest.rpc_routes import Reply
from gateway.edges.rest.transcoding.descriptors import FORM
from gateway.edges.uploads.asset_store import AssetStore
from gateway.edges.uploads.multipart_form import UploadForms
from rushes.catalog.v1.clients_pb2 import Client, CreateClientRequest, ListClientsRequest, ListClientsResponse
from rushes.gateway.v1.uploads_pb2 import UploadAssetRequest, UploadImageResponse
from servicekit.errors import FieldProblem

_UPLOADS_CLIENT = "Uploads"
"""The client that owns files sent to the older address, which names no owner."""


@dataclass(frozen=True)
class Uploads:
    """The servicer of `UploadService`."""

    forms: UploadForms
    store: AssetStore
    calls: Calls
    signed_urls: SignedUrls

    async def UploadAsset(self, message: UploadAssetRequest, request: Request) -> Reply:
        if content_type(request) == FORM:
            async with self.forms.receive(request, message) as file:
                asset = await self.store.store(file, message)
        else:
            if not message.source_url:
                required = "is required: send a file as a form, or its address in a JSON object"
                refuse_if_any([FieldProblem("source_url", required)])
            asset = await self.store.fetch(message)
        return Reply(asset, {"Location": f"/api/v3/assets/{asset.id}"})

    async def UploadImage(self, message: UploadAssetRequest, request: Request) -> UploadImageResponse:
        async with self.forms.receive(request, message) as file:
            if not message.client_id and not message.campaign_id:
                message.client_id = await self._uploads_client()
            asset = await self.store.store(file, message)
        url = self.signed_urls.asset(asset.id, LONGEST_TTL).url
        return UploadImageResponse(success=True, url=url, filename=asset.filename)

    async def _uploads_client(self) -> str:
        found = await self.calls(ListClientsRequest(q=_UPLOADS_CLIENT, page_size=200), ListClientsResponse)
        for client in found.clients:
            if client.name == _UPLOADS_CLIENT:
                return client.id
        # `reuse`: the other one of two first uploads at once may have created it by now.
        created = await self.calls(CreateClientRequest(name=_UPLOADS_CLIENT, reuse=True), Client)
        return created.id
