"""Calls the other services over gRPC, each by the package of its contracts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import grpc.aio
from grpc_health.v1 import health_pb2

from gateway.core.rpc_call import Answered, Asked, Rpc
from servicekit.errors import Internal, Unavailable
from servicekit.grpc.client import open_channel

_HEALTH = Rpc("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse)


class Channels:
    """A `Part` and the `Calls` port: one channel to each service.

    Args:
        addresses: `host:port` by proto package ("rushes.catalog").
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def start(self) -> None:
        """Open the channels; they connect when first used."""
        self._channels = {package: open_channel(address) for package, address in self._addresses.items()}

    async def stop(self) -> None:
        """Close the channels."""
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    async def __call__(
        self, rpc: Rpc[Asked, Answered], request: Asked, *, deadline: float | None = None
    ) -> Answered:
        """Ask and wait; raises the AppError that the other service raised."""
        return await self._ask(rpc.package, rpc, request, deadline)

    async def check(self, package: str) -> None:
        """Unavailable unless the service of that package says that it serves."""
        answer = await self._ask(package, _HEALTH, health_pb2.HealthCheckRequest(), 2.0)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"{package} is not serving")

    async def _ask(
        self, package: str, rpc: Rpc[Asked, Answered], request: Asked, deadline: float | None
    ) -> Answered:
        if package not in self._channels:
            raise Internal(
                f"no channel to {package}: it is not among {', '.join(self._addresses)}, or stopped"
            )
        serialize, parse = rpc.request.SerializeToString, rpc.response.FromString  # type: ignore[attr-defined]  # any message
        method = self._channels[package].unary_unary(
            rpc.name, request_serializer=serialize, response_deserializer=parse
        )
        answer: Answered = await method(request, timeout=deadline)
        return answer
