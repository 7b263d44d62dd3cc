"""Calls the other services over gRPC: each request goes to the service whose RPC takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2

from gateway.core.rpc_call import Response, RpcMethod
from servicekit.errors import Internal, Unavailable
from servicekit.grpc.client import open_channel

_HEALTH = RpcMethod("/grpc.health.v1.Health/Check", deadline=2.0)


class GrpcClient:
    """A `Part` and the `Calls` port: one channel to each service.

    Args:
        addresses: `host:port` by proto package ("rushes.catalog").
        method_of: the RPC that takes a request message.
    """

    def __init__(self, addresses: Mapping[str, str], method_of: Callable[[Any], RpcMethod]) -> None:
        self._addresses = dict(addresses)
        self._method_of = method_of
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def start(self) -> None:
        """Open the channels; they connect when first used."""
        self._channels = {package: open_channel(address) for package, address in self._addresses.items()}

    async def stop(self) -> None:
        """Close the channels."""
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    async def __call__(self, request: Any, response: type[Response]) -> Response:
        method = self._method_of(request)
        return await self._call(method.package, method, request, response)

    async def check(self, package: str) -> None:
        """Raise Unavailable unless the service of that package serves."""
        request = health_pb2.HealthCheckRequest()
        health = await self._call(package, _HEALTH, request, health_pb2.HealthCheckResponse)
        if health.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"{package} is not serving")

    async def _call(
        self, package: str, method: RpcMethod, request: Any, response: type[Response]
    ) -> Response:
        if package not in self._channels:
            raise Internal(
                f"no channel to {package}: it is not among {', '.join(self._addresses)}, or stopped"
            )
        call = self._channels[package].unary_unary(
            method.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,  # type: ignore[attr-defined]  # any message
        )
        answer: Response = await call(request, timeout=method.deadline)
        return answer
