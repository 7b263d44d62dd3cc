"""Every service has gRPC health and reflection, metrics, and HTTP readiness."""

from __future__ import annotations

import re

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.testing import eventually
from tests.e2e.system import System
from tools.metrics import metric_families

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
async def test_a_service_is_ready_and_exports_every_metric_that_is_documented_for_it(
    name: str, system: System
) -> None:
    address = metrics_addresses(system)[name]
    text = (await system.outside.get(address)).raise_for_status().text
    assert "python_info" in text
    documented = [family for family in metric_families() if name in family.services]
    assert [f for f in documented if f"\n# TYPE {f.name} {f.type}\n" not in text] == []
    assert (await system.outside.get(address.replace("/metrics", "/readyz"))).status_code == 200


ONLY_IN_TROUBLE = {"rushes_generator_events_total"}
"""What a run that goes well does not count."""


async def test_every_documented_metric_has_a_series_after_one_generation(system: System) -> None:
    made = await system.generation("rushes/instant")
    await system.final_generation(made["id"])

    async def scraped() -> bool:
        texts = [(await system.outside.get(each)).text for each in metrics_addresses(system).values()]
        series = set(re.findall(r"^(rushes_\w+)[{ ]", "\n".join(texts), re.MULTILINE))
        counted = series | {name.removesuffix("_count") for name in series}
        assert {family.name for family in metric_families()} - counted - ONLY_IN_TROUBLE == set()
        return True

    await eventually(scraped, within=20.0)  # some are measured every few seconds


def metrics_addresses(system: System) -> dict[str, str]:
    return {each["name"]: each["metrics"] for each in system.state["processes"] if each["name"] in SERVICES}


async def test_the_gateway_is_ready(system: System) -> None:
    got = await system.outside.get(f"{system.address('gateway')}/readyz")
    assert got.status_code == 200, got.text
