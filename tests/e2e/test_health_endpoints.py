"""Every service has gRPC health and reflection, metrics, and HTTP readiness."""

from __future__ import annotations

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

SERVICES = {
    "catalog": {"rushes.catalog.v1.JobService", "rushes.catalog.v1.AttemptService"},
    "generator": {"rushes.generator.v1.ModelService", "rushes.generator.v1.PlanService"},
    "downloader": {"rushes.downloader.v1.DownloaderService"},
    "stitcher": {"rushes.stitcher.v1.StitcherService"},
    "gateway": set(),
    "sandbox": set(),
}


@pytest.mark.parametrize("name", SERVICES)
async def test_health_and_reflection_answer(name: str, system: System) -> None:
    async with grpc.aio.insecure_channel(system.health_addresses()[name]) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
        async for answer in answers:
            listed = {service.name for service in answer.list_services_response.service}
            assert listed >= SERVICES[name] | {"grpc.health.v1.Health"}
            break


@pytest.mark.parametrize("name", SERVICES)
async def test_metrics_can_be_scraped(name: str, system: System) -> None:
    address = next(each["metrics"] for each in system.state["processes"] if each["name"] == name)
    got = await system.outside.get(address)
    assert got.status_code == 200
    assert "python_info" in got.text
    if name == "downloader":
        assert "\nrushes_outputs_lost_total " in got.text
    if name == "generator":
        assert "\n# TYPE rushes_provider_breaker_open gauge" in got.text
    assert (await system.outside.get(address.replace("/metrics", "/readyz"))).status_code == 200


async def test_the_gateway_is_ready(system: System) -> None:
    got = await system.outside.get(f"{system.address('gateway')}/readyz")
    assert got.status_code == 200, got.text
