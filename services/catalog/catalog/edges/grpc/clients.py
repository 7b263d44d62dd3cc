"""Serves ClientService. The contract documents its methods."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from catalog.core.campaigns.domain import Client
from catalog.core.campaigns.service import ClientService
from catalog.core.shared.paging import PageRequest
from catalog.edges.grpc.proto_mapping import Context, dict_to_struct, given_fields, page_that_fits, timestamp
from rushes.catalog.v1 import clients_pb2 as pb
from rushes.catalog.v1 import clients_pb2_grpc


class ClientServicer(clients_pb2_grpc.ClientServiceServicer):
    def __init__(self, clients: ClientService) -> None:
        self._clients = clients

    async def CreateClient(self, request: pb.CreateClientRequest, context: Context) -> pb.Client:
        optional = given_fields(request, "brand_guidelines", "metadata")
        return client_message(await self._clients.create(name=request.name, **optional))

    async def GetClient(self, request: pb.GetClientRequest, context: Context) -> pb.Client:
        return client_message(await self._clients.get(request.id))

    async def ListClients(self, request: pb.ListClientsRequest, context: Context) -> pb.ListClientsResponse:
        async def fetch(paging: PageRequest) -> pb.ListClientsResponse:
            page = await self._clients.page(paging, request.q)
            return pb.ListClientsResponse(
                clients=[client_message(each) for each in page.items], next_page_token=page.next_token
            )

        return await page_that_fits(request, fetch)

    async def UpdateClient(self, request: pb.UpdateClientRequest, context: Context) -> pb.Client:
        changes = given_fields(request, "name", "brand_guidelines", "metadata")
        return client_message(await self._clients.update(request.id, **changes))

    async def DeleteClient(self, request: pb.DeleteClientRequest, context: Context) -> Empty:
        await self._clients.delete(request.id)
        return Empty()


def client_message(client: Client) -> pb.Client:
    return pb.Client(
        id=client.id,
        name=client.name,
        brand_guidelines=client.brand_guidelines,
        metadata=dict_to_struct(client.metadata),
        created_at=timestamp(client.created_at),
        updated_at=timestamp(client.updated_at),
    )
