"""Serves gRPC as a `Part`: with our interceptor, health per service, and reflection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from servicekit.clock import Clock
from servicekit.errors import AppError, Precondition
from servicekit.grpc.interceptors import EdgeInterceptor
from servicekit.grpc.limits import GRACE, MESSAGE_LIMIT
from servicekit.readiness import Ready

READY = "ready"
"""The name under which the health service says whether this process can do its work right now, with all
that it needs. Under the other names, and "", it says whether the process answers: what is away changes
nothing of that, and a restart would not mend it."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # a second process on the same port must fail, not share the calls
    # Our channels send keepalives when idle (see client); the default would answer with GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
]


class GrpcServer:
    """Serves gRPC as a `Part`.

    Args:
        listen: "host:port"; port 0 lets the system choose, see `port`.
        servicers: objects whose classes derive from generated `…Servicer` classes, from one or from several:
            each is served under the name that its contract gives it.
        service: the name of this server in the log.
        grace: seconds that running calls get to finish at stop.
    """

    def __init__(
        self, listen: str, servicers: Sequence[object], *, clock: Clock, service: str, grace: float = GRACE
    ) -> None:
        self._listen = listen
        self._adding = [(add, servicer) for each in servicers for add, servicer in _registrations(each)]
        self._log = structlog.get_logger(__name__).bind(server=service)
        self._grace = grace
        self._server: grpc.aio.Server | None = None
        self.ready: Ready = _always
        """What the health service asks for `READY`; `servicekit.process.main` sets it."""
        self._health = _Health(self.ready)
        self._clock = clock
        self.port = 0

    async def start(self) -> None:
        """Listen, then report SERVING for every service, for the server as a whole (""), and for `READY`.

        Raises:
            Precondition: the address cannot be listened on.
        """
        self._health = _Health(self.ready)
        server = grpc.aio.server(interceptors=[EdgeInterceptor(self._clock)], options=_OPTIONS)
        registry = _Registry(server)
        for add, servicer in self._adding:
            add(servicer, registry)
        names = registry.names
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
            server,
        )
        try:
            self.port = server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise Precondition(f"cannot listen on {self._listen}: is another process there?") from error
        await server.start()
        self._server = server
        for name in ["", READY, *names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._log.info("grpc listening", address=self._listen, port=self.port)

    async def stop(self) -> None:
        """Report NOT_SERVING, take no new calls, give the running ones their grace.

        A call that comes before its caller has learned of the stop is refused as CANCELLED; our channels send
        it again.
        """
        server, self._server = self._server, None
        if server is not None:
            await self._health.enter_graceful_shutdown()
            await server.stop(self._grace)


async def _always() -> None:
    """Nothing is needed."""


class _Health(health_aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """The standard health service, which for `READY` finds out at each call."""

    def __init__(self, ready: Ready) -> None:
        super().__init__()
        self._ready = ready
        self._log = structlog.get_logger(__name__)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        answer = await super().Check(request, context)
        if request.service != READY or answer.status != health_pb2.HealthCheckResponse.SERVING:
            return answer
        try:
            await self._ready()
        except AppError as error:
            self._log.warning("not ready", reason=error.message)
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
        return answer


class _Registry:
    """What generated `add_…_to_server` functions take for a server; notes the names of the services."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.ServiceRpcHandler]) -> None:
        self.names += [handler.service_name() for handler in handlers]
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, name: str, handlers: Any) -> None:
        self._server.add_registered_method_handlers(name, handlers)


def _registrations(servicer: object) -> Iterator[tuple[Callable[[Any, Any], None], object]]:
    found = False
    for base in type(servicer).__mro__:
        # Beside each servicer class the generated module has the function that registers it.
        add = getattr(sys.modules[base.__module__], f"add_{base.__name__}_to_server", None)
        if add is not None:
            found = True
            yield add, servicer
    if not found:
        raise TypeError(f"{type(servicer).__name__} derives from no generated servicer class")
