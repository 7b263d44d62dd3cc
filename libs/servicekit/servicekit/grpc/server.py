"""Serves gRPC as a `Part`: with our interceptor, health per service, and reflection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from servicekit.clock import Clock
from servicekit.errors import Unavailable
from servicekit.grpc.interceptors import EdgeInterceptor
from servicekit.grpc.limits import MESSAGE_LIMIT

Service = tuple[Callable[[Any, Any], None], object, str]
"""(`add_XServicer_to_server`, the servicer, the full service name)."""

GRACE = 5.0
"""Seconds that running calls get to finish at stop, before they are cancelled."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # a second process on the same port must fail, not share the calls
    # Our channels send keepalives when idle (see client); the default would answer with GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
]


class GrpcServer:
    """Serves the services on `listen` ("host:port"; port 0 lets the system choose, see `port`)."""

    def __init__(
        self, listen: str, services: Sequence[Service], *, clock: Clock, service: str, grace: float = GRACE
    ) -> None:
        self._listen = listen
        self._services = list(services)
        self._clock = clock
        self._log = structlog.get_logger(__name__).bind(server=service)
        self._grace = grace
        self._server: grpc.aio.Server | None = None
        self._health = health_aio.HealthServicer()
        self.port = 0

    async def start(self) -> None:
        """Listen, then report SERVING for every service and for the server as a whole ("").

        Raises:
            Unavailable: the address cannot be listened on.
        """
        self._health = health_aio.HealthServicer()
        server = grpc.aio.server(interceptors=[EdgeInterceptor(self._clock)], options=_OPTIONS)
        names = [name for _, _, name in self._services]
        for add, servicer, _ in self._services:
            add(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
            server,
        )
        try:
            self.port = server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise Unavailable(f"cannot listen on {self._listen}: is another process there?") from error
        await server.start()
        self._server = server
        for name in ["", *names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._log.info("grpc listening", address=self._listen, port=self.port)

    async def stop(self) -> None:
        """Report NOT_SERVING, take no new calls, give the running ones their grace."""
        server, self._server = self._server, None
        if server is not None:
            await self._health.enter_graceful_shutdown()
            await server.stop(self._grace)
