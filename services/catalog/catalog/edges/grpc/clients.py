"""ClientService."""

# the contract names the methods, and documents them

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.service import Library
from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import Client
from catalog.edges.grpc.proto_mapping import Context, mapping, page_within, stamp, struct
from rushes.catalog.v1 import clients_pb2 as pb
from rushes.catalog.v1 import clients_pb2_grpc

NAME = "rushes.catalog.v1.ClientService"


class ClientServicer(clients_pb2_grpc.ClientServiceServicer):
    """The brands."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def CreateClient(self, request: pb.CreateClientRequest, context: Context) -> pb.Client:
        return client_message(await self._library.add_client(**_fields(request)))

    async def GetClient(self, request: pb.GetClientRequest, context: Context) -> pb.Client:
        return client_message(await self._library.client(request.id))

    async def ListClients(self, request: pb.ListClientsRequest, context: Context) -> pb.ListClientsResponse:
        async def ask(paging: PageRequest) -> pb.ListClientsResponse:
            page = await self._library.clients(paging, request.q)
            return pb.ListClientsResponse(
                clients=[client_message(each) for each in page.items], next_page_token=page.next_token
            )

        return await page_within(request, ask)

    async def UpdateClient(self, request: pb.UpdateClientRequest, context: Context) -> pb.Client:
        return client_message(await self._library.change_client(request.id, **_changes(request)))

    async def DeleteClient(self, request: pb.DeleteClientRequest, context: Context) -> Empty:
        await self._library.remove_client(request.id)
        return Empty()


def client_message(client: Client) -> pb.Client:
    """A client as a message."""
    return pb.Client(
        id=client.id,
        name=client.name,
        brand_guidelines=client.brand_guidelines,
        metadata=struct(client.metadata),
        created_at=stamp(client.created_at),
        updated_at=stamp(client.updated_at),
    )


def _fields(request: pb.CreateClientRequest) -> dict[str, Any]:
    return {
        "name": request.name,
        "brand_guidelines": request.brand_guidelines if request.HasField("brand_guidelines") else None,
        "metadata": mapping(request.metadata) if request.HasField("metadata") else None,
    }


def _changes(request: pb.UpdateClientRequest) -> dict[str, Any]:
    changes: dict[str, Any] = {
        name: getattr(request, name) for name in ("name", "brand_guidelines") if request.HasField(name)
    }
    if request.HasField("metadata"):
        changes["metadata"] = mapping(request.metadata)
    return changes
