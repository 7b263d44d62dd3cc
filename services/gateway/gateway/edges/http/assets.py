"""Uploads, and the signed addresses of what was uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.core.asset_fields import KNOWN, TEXTS, AssetFields, from_form
from gateway.core.nearest import shown, unknown
from gateway.core.problems import refuse
from gateway.core.rpc import Calls, Rpc
from gateway.edges.http import asset_documents as documents
from gateway.edges.http.asset_store import GET, AssetStore
from gateway.edges.http.bodies import content_type, read_json
from gateway.edges.http.multipart import receive
from gateway.edges.http.operation import Operation
from gateway.edges.transcoding.to_json import to_json
from rushes.catalog.v1.assets_pb2 import GetAssetRequest
from rushes.catalog.v1.clients_pb2 import Client, CreateClientRequest, ListClientsRequest, ListClientsResponse
from servicekit.clock import Clock
from servicekit.errors import FieldProblem
from servicekit.signing import sign

LIST_CLIENTS = Rpc("/rushes.catalog.v1.ClientService/ListClients", ListClientsRequest, ListClientsResponse)
CREATE_CLIENT = Rpc("/rushes.catalog.v1.ClientService/CreateClient", CreateClientRequest, Client)

LONGEST_TTL = 86_400
_USUAL_TTL = 3600
_UPLOADS_CLIENT = "Uploads"
"""The client that owns files sent to the older address, which names no owner."""


@dataclass(frozen=True)
class Uploads:
    """What is needed for uploads.

    Args:
        public_url: put before signed addresses; empty for paths alone.
    """

    store: AssetStore
    calls: Calls
    clock: Clock
    signing_key: str
    public_url: str

    def operations(self) -> list[Operation]:
        """The operations."""
        return [
            Operation("POST", "/api/v3/assets", self._upload, document=documents.UPLOAD),
            Operation("POST", "/api/v3/assets/{id}/token", self._token, document=documents.TOKEN),
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
        url, _ = self._signed(asset.id, LONGEST_TTL)
        return JSONResponse({"success": True, "url": url["url"], "filename": asset.filename})

    async def _token(self, request: Request) -> Response:
        asset = await self.calls(GET, GetAssetRequest(id=request.path_params["id"]))
        body, headers = self._signed(asset.id, _ttl(await read_json(request)))
        return JSONResponse(body, 200, headers=headers)

    def _signed(self, asset_id: str, ttl: int) -> tuple[dict[str, str], dict[str, str]]:
        expires = (self.clock.now() + timedelta(seconds=ttl)).replace(microsecond=0)
        token = sign(self.signing_key, f"asset:{asset_id}", expires)
        url = f"{self.public_url.rstrip('/')}/api/v3/assets/{asset_id}/data?token={token}"
        told = expires.isoformat().replace("+00:00", "Z")
        return {"url": url, "token": token, "expires_at": told}, {"Cache-Control": "no-store"}

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


def _ttl(body: Any) -> int:
    body = {} if body is None else body
    if not isinstance(body, dict):
        refuse([FieldProblem("body", "must be an object")])
    refuse([FieldProblem(shown(n), unknown("field", n, ("ttl_s",))) for n in body if n != "ttl_s"])
    ttl = body.get("ttl_s", _USUAL_TTL)
    if not isinstance(ttl, int) or isinstance(ttl, bool) or not 1 <= ttl <= LONGEST_TTL:
        refuse([FieldProblem("ttl_s", f"must be a whole number of seconds from 1 to {LONGEST_TTL}")])
    return int(ttl)
