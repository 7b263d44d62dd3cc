"""Serves KeyService. The contract documents its methods."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from catalog.core.access.domain import ApiKey, Scope
from catalog.core.access.service import ApiKeyService
from catalog.edges.grpc.proto_mapping import Context, page_request
from catalog.proto_enums import datetime_of, timestamp
from rushes.catalog.v1 import keys_pb2 as pb
from rushes.catalog.v1 import keys_pb2_grpc

SCOPES = {Scope.READ: pb.SCOPE_READ, Scope.WRITE: pb.SCOPE_WRITE, Scope.ADMIN: pb.SCOPE_ADMIN}
_SCOPE_OF = {message: scope for scope, message in SCOPES.items()}


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    def __init__(self, api_keys: ApiKeyService) -> None:
        self._api_keys = api_keys

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: Context
    ) -> pb.CreateApiKeyResponse:
        scope = _SCOPE_OF.get(request.scope, Scope.WRITE)
        expires_at = datetime_of(request.expires_at) if request.HasField("expires_at") else None
        key, record = await self._api_keys.create(request.name, scope, expires_at)
        return pb.CreateApiKeyResponse(key=key, api_key=key_message(record))

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        page = await self._api_keys.page(page_request(request))
        return pb.ListApiKeysResponse(
            api_keys=[key_message(each) for each in page.items], next_page_token=page.next_token
        )

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> Empty:
        await self._api_keys.revoke(request.id)
        return Empty()

    async def Authenticate(self, request: pb.AuthenticateRequest, context: Context) -> pb.ApiKey:
        return key_message(await self._api_keys.authenticate(request.key_sha256))


def key_message(key: ApiKey) -> pb.ApiKey:
    """Nothing of the key itself but its first characters."""
    return pb.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scope=SCOPES[key.scope],
        created_at=timestamp(key.created_at),
        expires_at=timestamp(key.expires_at),
        last_used_at=timestamp(key.last_used_at),
        revoked_at=timestamp(key.revoked_at),
    )
