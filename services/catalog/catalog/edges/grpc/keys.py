"""KeyService."""

# the contract names the methods, and documents them

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from catalog.core.access.service import KeyRing
from catalog.core.shared.records import ApiKey, Scope
from catalog.edges.grpc.proto_mapping import Context, moment, page_request, stamp
from rushes.catalog.v1 import keys_pb2 as pb
from rushes.catalog.v1 import keys_pb2_grpc

NAME = "rushes.catalog.v1.KeyService"
SCOPES = {Scope.READ: pb.SCOPE_READ, Scope.WRITE: pb.SCOPE_WRITE, Scope.ADMIN: pb.SCOPE_ADMIN}
_SCOPE_OF = {message: scope for scope, message in SCOPES.items()}


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """Keys that programs sign in with."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: Context
    ) -> pb.CreateApiKeyResponse:
        scope = _SCOPE_OF.get(request.scope, Scope.WRITE)
        expires_at = moment(request.expires_at) if request.HasField("expires_at") else None
        key, record = await self._keys.create(request.name, scope, expires_at)
        return pb.CreateApiKeyResponse(key=key, api_key=key_message(record))

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        page = await self._keys.page(page_request(request))
        return pb.ListApiKeysResponse(
            api_keys=[key_message(each) for each in page.items], next_page_token=page.next_token
        )

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> Empty:
        await self._keys.revoke(request.id)
        return Empty()

    async def Authenticate(self, request: pb.AuthenticateRequest, context: Context) -> pb.ApiKey:
        return key_message(await self._keys.authenticate(request.key_sha256))


def key_message(key: ApiKey) -> pb.ApiKey:
    """A key's record as a message: nothing of the key but its first characters."""
    return pb.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scope=SCOPES[key.scope],
        created_at=stamp(key.created_at),
        expires_at=stamp(key.expires_at),
        last_used_at=stamp(key.last_used_at),
        revoked_at=stamp(key.revoked_at),
    )
