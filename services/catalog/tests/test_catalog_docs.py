"""The README names every RPC."""

from __future__ import annotations

from pathlib import Path

from rushes.catalog.v1 import (
    assets_pb2,
    attempts_pb2,
    campaigns_pb2,
    clients_pb2,
    generations_pb2,
    jobs_pb2,
    keys_pb2,
    media_pb2,
    storage_pb2,
)

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_service_and_method_is_named() -> None:
    for module in (
        assets_pb2, attempts_pb2, campaigns_pb2, clients_pb2, generations_pb2, jobs_pb2, keys_pb2, media_pb2,
        storage_pb2,
    ):  # fmt: skip
        for service in module.DESCRIPTOR.services_by_name.values():
            assert f"`{service.name}`" in README
            crud = service.name in ("ClientService", "CampaignService", "AssetService")
            for method in service.methods:
                assert crud or f"`{method.name}`" in README, method.name
