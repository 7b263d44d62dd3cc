"""How each servicer is registered with a server: by its contract, under its name."""

from __future__ import annotations

from typing import Any

from catalog.edges.grpc import assets, attempts, campaigns, clients, generations, jobs, keys, media, storage
from rushes.catalog.v1 import (
    assets_pb2_grpc,
    attempts_pb2_grpc,
    campaigns_pb2_grpc,
    clients_pb2_grpc,
    generations_pb2_grpc,
    jobs_pb2_grpc,
    keys_pb2_grpc,
    media_pb2_grpc,
    storage_pb2_grpc,
)
from servicekit.grpc.server import Service

_REGISTERED: dict[type[Any], tuple[Any, str]] = {
    clients.ClientServicer: (clients_pb2_grpc.add_ClientServiceServicer_to_server, clients.NAME),
    campaigns.CampaignServicer: (campaigns_pb2_grpc.add_CampaignServiceServicer_to_server, campaigns.NAME),
    assets.AssetServicer: (assets_pb2_grpc.add_AssetServiceServicer_to_server, assets.NAME),
    media.MediaServicer: (media_pb2_grpc.add_MediaServiceServicer_to_server, media.NAME),
    keys.KeyServicer: (keys_pb2_grpc.add_KeyServiceServicer_to_server, keys.NAME),
    generations.GenerationServicer: (
        generations_pb2_grpc.add_GenerationServiceServicer_to_server,
        generations.NAME,
    ),
    generations.DownloadServicer: (
        generations_pb2_grpc.add_DownloadServiceServicer_to_server,
        generations.DOWNLOADS,
    ),
    attempts.AttemptServicer: (attempts_pb2_grpc.add_AttemptServiceServicer_to_server, attempts.NAME),
    jobs.JobServicer: (jobs_pb2_grpc.add_JobServiceServicer_to_server, jobs.NAME),
    storage.StorageServicer: (storage_pb2_grpc.add_StorageServiceServicer_to_server, storage.NAME),
}


def served(*servicers: object) -> list[Service]:
    """The servicers as a server takes them."""
    return [(add, servicer, name) for servicer in servicers for add, name in [_REGISTERED[type(servicer)]]]
