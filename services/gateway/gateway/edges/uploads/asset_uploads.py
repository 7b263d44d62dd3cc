"""Uploads, by form and by address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.core.problems.domain.field_problems import refuse
from gateway.core.problems.domain.suggestions import shown, unknown
from gateway.core.rpc_call import Calls, Rpc
from gateway.core.uploads.domain.upload_fields import KNOWN, TEXTS, AssetFields, from_form
from gateway.edges.auth.signed_urls import LONGEST_TTL, SignedAddresses
from gateway.edges.http.request_body import content_type, read_json
from gateway.edges.http.routing import Operation
from gateway.edges.rest.transcoding.to_json import to_json
from gateway.edges.uploads import asset_uploads_openapi as documents
from gateway.edges.uploads.asset_store import AssetStore
from gateway.edges.uploads.multipart_form import receive
from rushes.catalog.v1.clients_pb2 import Client, CreateClientRequest, ListClientsRequest, ListClientsResponse
from servicekit.errors import FieldProblem

LIST_CLIENTS = Rpc("/rushes.catalog.v1.ClientService/ListClients", ListClientsRequest, ListClientsResponse)
CREATE_CLIENT = Rpc("/rushes.catalog.v1.ClientService/CreateClient", CreateClientRequest, Client)

_UPLOADS_CLIENT = "Uploads"
"""The client that owns files sent to the older address, which names no owner."""


@dataclass(frozen=True)
class Uploads:
    """What is needed for uploads."""

    store: AssetStore
    calls: Calls
    signed: SignedAddresses

    def operations(self) -> list[Operation]:
        """The operations."""
        return [
            Operation("POST", "/api/v3/assets", self._upload, document=documents.UPLOAD),
            Operation("POST", "/api/upload-image", self._older_upload, document=documents.OLDER_UPLOAD),
        ]

    async def _upload(self, request: Request) -> Response:
        if content_type(request) == "multipart/form-data":
            async with receive(request) as form:
                asset = await self.store.keep(form.file, from_form(form.fields))
        else:
            source_url, fields = _from_json(await read_json(request))
            asset = await self.store.fetch(source_url, fields)
        return JSONResponse(to_json(asset), 201, headers={"Location": f"/api/v3/assets/{asset.id}"})

    async def _older_upload(self, request: Request) -> Response:
        async with receive(request) as form:
            fields = from_form(form.fields)
            if not fields.client_id and not fields.campaign_id:
                fields.client_id = await self._uploads_client()
            asset = await self.store.keep(form.file, fields)
        url = self.signed.asset(asset.id, LONGEST_TTL)["url"]
        return JSONResponse({"success": True, "url": url, "filename": asset.filename})

    async def _uploads_client(self) -> str:
        found = await self.calls(LIST_CLIENTS, ListClientsRequest(q=_UPLOADS_CLIENT, page_size=200))
        for client in found.clients:
            if client.name == _UPLOADS_CLIENT:
                return client.id
        made = await self.calls(CREATE_CLIENT, CreateClientRequest(name=_UPLOADS_CLIENT))
        return made.id


def _from_json(body: Any) -> tuple[str, AssetFields]:
    """The address and the fields of a JSON upload."""
    if not isinstance(body, dict):
        refuse(
            [
                FieldProblem(
                    "source_url", "is required: send a file as a form, or its address in a JSON object"
                )
            ]
        )
    known = (*KNOWN, "source_url")
    problems = [
        FieldProblem(shown(name), unknown("field", name, known)) for name in body if name not in known
    ]
    given = {name: value for name, value in body.items() if name in known and value is not None}
    problems += [
        FieldProblem(name, "must be a text")
        for name in (*TEXTS, "source_url")
        if not isinstance(given.get(name, ""), str)
    ]
    tags, metadata = given.get("tags", []), given.get("metadata")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        problems.append(FieldProblem("tags", "must be a list of texts"))
    if metadata is not None and not isinstance(metadata, dict):
        problems.append(FieldProblem("metadata", "must be an object"))
    if given.get("type") not in (None, "", "image", "audio"):
        problems.append(FieldProblem("type", "must be one of image, audio"))
    if not given.get("source_url"):
        problems.append(FieldProblem("source_url", "is required"))
    refuse(problems)
    return given.pop("source_url"), AssetFields(**given)
