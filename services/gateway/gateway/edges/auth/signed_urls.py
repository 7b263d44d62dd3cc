"""Signed addresses: what opens one asset or one job's cut without a key, for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.core.problems.domain.field_problems import refuse
from gateway.core.problems.domain.suggestions import shown, unknown
from gateway.core.rpc_call import Calls
from gateway.edges.auth import signed_urls_openapi as documents
from gateway.edges.http.request_body import read_json
from gateway.edges.http.routing import Operation
from gateway.edges.rest.catalog_rpcs import GET_ASSET, LOCATE
from rushes.catalog.v1.assets_pb2 import GetAssetRequest
from rushes.catalog.v1.media_pb2 import CutName, LocateObjectRequest
from servicekit.clock import Clock
from servicekit.errors import FieldProblem
from servicekit.ids import check_id
from servicekit.signing import sign

LONGEST_TTL = 86_400
"""Seconds: a day."""
_USUAL_TTL = 3600


def asset_subject(asset_id: str) -> str:
    """What a token for an asset's bytes is made for. The generator makes the same for the provider."""
    return f"asset:{asset_id}"


def cut_subject(job_id: str) -> str:
    """What a token for a job's cut is made for, whichever version."""
    return f"cut:{job_id}"


@dataclass(frozen=True)
class SignedAddresses:
    """Makes them.

    Args:
        public_url: put before the addresses; empty for paths alone.
    """

    calls: Calls
    clock: Clock
    signing_key: str
    public_url: str

    def operations(self) -> list[Operation]:
        """The operations."""
        return [
            Operation("POST", "/api/v3/assets/{id}/token", self._for_asset, document=documents.ASSET_TOKEN),
            Operation("POST", "/api/v3/videos/{job_id}/token", self._for_cut, document=documents.CUT_TOKEN),
        ]

    def asset(self, asset_id: str, ttl: int) -> dict[str, str]:
        """`url`, `token` and `expires_at` for an asset, `ttl` seconds long."""
        return self._signed(asset_subject(asset_id), f"/api/v3/assets/{asset_id}/data", ttl)

    async def _for_asset(self, request: Request) -> Response:
        asset = await self.calls(GET_ASSET, GetAssetRequest(id=request.path_params["id"]))
        return _answer(self.asset(asset.id, _ttl(await read_json(request))))

    async def _for_cut(self, request: Request) -> Response:
        job_id = check_id(request.path_params["job_id"], "job", field="job_id")
        await self.calls(LOCATE, LocateObjectRequest(cut=CutName(job_id=job_id)))  # there is one
        ttl = _ttl(await read_json(request))
        return _answer(self._signed(cut_subject(job_id), f"/api/v3/videos/{job_id}/combined", ttl))

    def _signed(self, subject: str, path: str, ttl: int) -> dict[str, str]:
        expires = (self.clock.now() + timedelta(seconds=ttl)).replace(microsecond=0)
        token = sign(self.signing_key, subject, expires)
        told = expires.isoformat().replace("+00:00", "Z")
        return {
            "url": f"{self.public_url.rstrip('/')}{path}?token={token}",
            "token": token,
            "expires_at": told,
        }


def _answer(body: dict[str, str]) -> Response:
    return JSONResponse(body, 200, headers={"Cache-Control": "no-store"})


def _ttl(body: Any) -> int:
    body = {} if body is None else body
    if not isinstance(body, dict):
        refuse([FieldProblem("body", "must be an object")])
    refuse([FieldProblem(shown(n), unknown("field", n, ("ttl_s",))) for n in body if n != "ttl_s"])
    ttl = body.get("ttl_s", _USUAL_TTL)
    if not isinstance(ttl, int) or isinstance(ttl, bool) or not 1 <= ttl <= LONGEST_TTL:
        refuse([FieldProblem("ttl_s", f"must be a whole number of seconds from 1 to {LONGEST_TTL}")])
    return int(ttl)
