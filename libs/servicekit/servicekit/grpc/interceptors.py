"""Wraps every call that a server answers: maps errors, traces, logs, counts, checks field rules."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from ulid import ULID

from servicekit.clock import Clock
from servicekit.errors import AppError, Internal
from servicekit.grpc import status
from servicekit.grpc.probes import is_probe
from servicekit.grpc.rules import check, ids_of
from servicekit.telemetry import metrics, subject, traces

_log = structlog.get_logger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class EdgeInterceptor(grpc.aio.ServerInterceptor):
    """The outermost interceptor: nothing that a servicer raises reaches the client unmapped.

    An `AppError` becomes its status with `status.metadata`; anything else becomes INTERNAL with an opaque
    reference, under which the log holds the exception. Requests are checked against their field rules
    before the servicer sees them. Unary and server-streaming calls, and the two with streamed requests
    (without the check), are treated alike.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:  # gRPC answers UNIMPLEMENTED; the name is whatever the client has made up
            metrics.RPC_REQUESTS.labels("unmatched", grpc.StatusCode.UNIMPLEMENTED.name).inc()
            return None
        method = handler_call_details.method
        headers = {key: _text(value) for key, value in handler_call_details.invocation_metadata or ()}
        requests = "stream" if handler.request_streaming else "unary"
        responses = "stream" if handler.response_streaming else "unary"
        # Under this name a handler has its function, and `grpc` what makes a handler of one.
        shape = f"{requests}_{responses}"
        behaviour: Any = getattr(handler, shape)
        make: Callable[..., Handler] = getattr(grpc, f"{shape}_rpc_method_handler")

        async def respond(request: Any, context: Context) -> Any:
            async with self._edge(method, headers, context):
                _check(request)
                return await behaviour(request, context)

        # A coroutine that writes, not a generator: the trace context is then entered and left in one task.
        async def stream(request: Any, context: Context) -> None:
            async with self._edge(method, headers, context):
                _check(request)
                produced = behaviour(request, context)
                if inspect.isawaitable(produced):
                    await produced
                    return
                try:
                    async for message in produced:
                        await context.write(message)
                finally:
                    await produced.aclose()

        answer = stream if handler.response_streaming else respond
        return make(answer, handler.request_deserializer, handler.response_serializer)

    @asynccontextmanager
    async def _edge(self, method: str, headers: dict[str, str], context: Context) -> AsyncIterator[None]:
        began, code, app_error = self._clock.monotonic(), grpc.StatusCode.OK, None
        service, _, name = method.removeprefix("/").partition("/")
        recorded = traces.span(
            method.removeprefix("/"),
            "server",
            parent=traces.extract(headers),
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        with traces.nothing() if is_probe(method) else recorded as span:
            try:
                yield
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:  # the servicer has answered by itself (health and reflection do)
                code = _aborted(context)
                raise
            except Exception as error:  # noqa: BLE001  # everything is mapped here: that is the point
                app_error = _mapped(error, method)
                code = status.STATUS[app_error.kind]
                if app_error.kind is Internal.kind:
                    span.set_status(traces.FAILED)
            finally:
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                self._record(method, code, self._clock.monotonic() - began, app_error)
        if app_error is not None:
            await context.abort(code, status.details(app_error), status.metadata(app_error))

    def _record(self, method: str, code: grpc.StatusCode, seconds: float, app_error: AppError | None) -> None:
        metrics.RPC_REQUESTS.labels(method, code.name).inc()
        metrics.RPC_SECONDS.labels(method).observe(seconds)
        if is_probe(method):
            return
        line: dict[str, Any] = {"method": method, "status": code.name, "ms": round(seconds * 1000, 1)}
        if app_error is None:  # metrics and traces record these; a line each would hide the others
            _log.debug("rpc", **line)
            return
        line["error"] = app_error.message
        line |= {"code": app_error.code} if app_error.code else {}
        _log.info("rpc", **line)


def _check(request: object) -> None:
    """Check a request against its rules; logs and traces say which records it is about."""
    if isinstance(request, Message):
        subject.bind(ids_of(request))
        check(request)


def _mapped(error: Exception, method: str) -> AppError:
    """The error for the client. An internal one is logged, and the client gets its reference alone."""
    if isinstance(error, AppError) and error.kind is not Internal.kind:
        return error
    reference = error.reference if isinstance(error, AppError) and error.reference else str(ULID())
    _log.error("internal error", method=method, reference=reference, exc_info=error)
    return Internal(f"internal error; quote the reference {reference}", reference=reference)


def _aborted(context: Context) -> grpc.StatusCode:
    code: Any = context.code()
    for known in grpc.StatusCode:
        if code in (known, known.value[0]):
            return known
    return grpc.StatusCode.UNKNOWN


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
