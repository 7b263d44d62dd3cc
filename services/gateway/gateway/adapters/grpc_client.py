"""Calls the other services over gRPC: each request goes to the service whose RPC takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.rpc_call import Response, RpcMethod
from servicekit.errors import Internal
from servicekit.grpc.client import GrpcChannel


class GrpcClient:
    """A `Part` and the `Calls` port: one channel to each service.

    Args:
        addresses: `host:port` by proto package ("rushes.catalog").
        method_of: the RPC that takes a request message.
    """

    def __init__(self, addresses: Mapping[str, str], method_of: Callable[[Any], RpcMethod]) -> None:
        self._channels = {package: GrpcChannel(address) for package, address in addresses.items()}
        self._method_of = method_of

    async def start(self) -> None:
        for channel in self._channels.values():
            await channel.start()

    async def stop(self) -> None:
        await asyncio.gather(*(channel.stop() for channel in self._channels.values()))

    async def check(self, package: str) -> None:
        """Raise Unavailable unless the service of that package serves."""
        await self._channel(package).check_serving()

    async def __call__(self, request: Any, response: type[Response]) -> Response:
        method = self._method_of(request)
        channel = self._channel(method.package).open()
        call = channel.unary_unary(
            method.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,  # type: ignore[attr-defined]  # any message
        )
        answer: Response = await call(request, timeout=method.deadline)
        return answer

    def _channel(self, package: str) -> GrpcChannel:
        if package not in self._channels:
            raise Internal(f"no channel to {package}: it is not among {', '.join(self._channels)}")
        return self._channels[package]
