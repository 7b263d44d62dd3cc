"""Signs addresses that open one asset or one job's cut without a key, for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from starlette.requests import Request

from gateway.core.rpc_call import Calls
from gateway.edges.rest.http_bindings import binding_of
from gateway.edges.rest.rpc_routes import Reply
from rushes.catalog.v1.assets_pb2 import Asset, GetAssetRequest
from rushes.catalog.v1.media_pb2 import CutName, LocateObjectRequest, StoredObject
from rushes.gateway.v1.signed_urls_pb2 import SignAssetRequest, SignCutRequest, SignedUrl
from servicekit.clock import Clock
from servicekit.signing import sign

LONGEST_TTL = 86_400
"""Seconds: a day."""

_USUAL_TTL = 3600


@dataclass(frozen=True)
class SignedUrls:
    """The servicer of `SignedUrlService`.

    Args:
        public_url: put before the addresses; empty for paths alone.
    """

    calls: Calls
    clock: Clock
    signing_key: str = field(repr=False)
    public_url: str

    async def SignAsset(self, message: SignAssetRequest, request: Request) -> Reply:
        asset = await self.calls(GetAssetRequest(id=message.id), Asset)
        return _reply(self.asset(asset.id, _ttl(message)))

    async def SignCut(self, message: SignCutRequest, request: Request) -> Reply:
        cut = CutName(job_id=message.job_id)
        await self.calls(LocateObjectRequest(cut=cut), StoredObject)  # NotFound when there is none
        return _reply(self._sign("GetCutBytes", _ttl(message), job_id=message.job_id))

    def asset(self, asset_id: str, ttl: int) -> SignedUrl:
        """The address of an asset's bytes, for `ttl` seconds."""
        return self._sign("GetAssetBytes", ttl, id=asset_id)

    def _sign(self, rpc: str, ttl: int, **variables: str) -> SignedUrl:
        binding = binding_of(f"rushes.gateway.v1.BytesService.{rpc}")
        expires = (self.clock.now() + timedelta(seconds=ttl)).replace(microsecond=0)
        token = sign(self.signing_key, binding.rest.token.format_map(variables), expires)
        path = binding.template.text.format_map(variables)
        signed = SignedUrl(url=f"{self.public_url.rstrip('/')}{path}?token={token}", token=token)
        signed.expires_at.FromDatetime(expires)
        return signed


def _reply(signed: SignedUrl) -> Reply:
    return Reply(signed, {"Cache-Control": "no-store"})


def _ttl(message: SignAssetRequest | SignCutRequest) -> int:
    return message.ttl_s if message.HasField("ttl_s") else _USUAL_TTL
