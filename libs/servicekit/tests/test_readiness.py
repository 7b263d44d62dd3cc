"""Readiness asks all parts at once, and names each that cannot do its work."""

from __future__ import annotations

import asyncio

import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from servicekit import readiness as readiness_module
from servicekit.clock import SystemClock
from servicekit.errors import Unavailable
from servicekit.grpc.server import READY, GrpcServer
from servicekit.http.ops import ops_app
from servicekit.readiness import Ready, measure, readiness


class Fine:
    async def check_ready(self) -> None:
        pass


class Away:
    async def check_ready(self) -> None:
        raise Unavailable("no event log at nats:4222")


class Hanging:
    async def check_ready(self) -> None:
        await asyncio.Event().wait()


class HangingToo(Hanging):
    pass


class Meeting:
    """Is ready when another one is checked at the same time."""

    def __init__(self, both: asyncio.Barrier) -> None:
        self._both = both

    async def check_ready(self) -> None:
        await self._both.wait()


class Faulty:
    async def check_ready(self) -> None:
        raise ZeroDivisionError


async def test_each_part_that_cannot_work_is_named_and_all_are_checked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness_module, "WITHIN", 0.2)
    both = asyncio.Barrier(2)
    with pytest.raises(Unavailable) as caught:
        await readiness([Meeting(both), Hanging(), Fine(), object(), HangingToo(), Away(), Meeting(both)])()
    assert caught.value.message == (
        "Hanging: no answer within 0.2 s; HangingToo: no answer within 0.2 s; Away: no event log at nats:4222"
    )


async def test_a_fault_in_a_check_means_not_ready_everywhere() -> None:
    await measure(readiness([Fine()]))
    assert REGISTRY.get_sample_value("rushes_ready") == 1
    ready = readiness([Fine(), Faulty()])
    with capture_logs() as logged:
        await measure(ready)
    assert REGISTRY.get_sample_value("rushes_ready") == 0
    assert [(line["part"], line["exc_info"]) for line in logged] == [("Faulty", True)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ops_app(ready)), base_url="http://ops") as ops:
        answer = await ops.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "Faulty: it could not be checked (ZeroDivisionError)")
    assert await health_of(ready) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert await health_of(readiness([Fine()])) == health_pb2.HealthCheckResponse.SERVING


async def health_of(ready: Ready) -> int:
    """What a gRPC server with this readiness answers to Kubernetes' probe."""
    server = GrpcServer("127.0.0.1:0", [], clock=SystemClock(), service="test")
    server.ready = ready
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            status: int = (await health.Check(health_pb2.HealthCheckRequest(service=READY))).status
            return status
    finally:
        await server.stop()
