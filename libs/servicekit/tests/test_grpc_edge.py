"""A real server and a real channel: errors, traces, health, reflection, stop."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from servicekit.clock import SystemClock
from servicekit.errors import (
    ERRORS,
    AppError,
    ErrorKind,
    FieldProblem,
    Internal,
    Precondition,
    TimedOut,
    Unavailable,
)
from servicekit.grpc import interceptors, status
from servicekit.grpc.client import GrpcChannel, open_channel
from servicekit.grpc.server import GrpcServer
from servicekit.telemetry import metrics, traces
from servicekit.testing import eventually

NAME = "servicekit.tests.Echo"
COUNTER = "servicekit.tests.Counter"


class EchoServicer:
    """As the generator makes it: beside it stands `add_EchoServicer_to_server`."""


class CounterServicer:
    """Of another contract."""


class Echo(EchoServicer):
    """Answers with the text, raises on demand, and signals when it is working."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.texts: list[str] = []
        self.working = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()
        self.trace = ""

    async def echo(self, request: StringValue, context: Any) -> StringValue:
        self.trace = traces.trace_id()
        self.texts.append(request.value)
        if self.error is not None:
            raise self.error
        return request

    async def wait(self, request: StringValue, context: Any) -> StringValue:
        self.working.set()
        try:
            await self.go_on.wait()
        finally:
            self.ended.set()
        return request

    async def count(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            for number in range(int(request.value)):
                yield StringValue(value=str(number))
            if self.error is not None:
                raise self.error
        finally:
            self.ended.set()


def add_EchoServicer_to_server(echo: Any, server: grpc.aio.Server) -> None:  # noqa: N802  # as generated
    def handler(make: Any, behaviour: Any) -> Any:
        return make(behaviour, StringValue.FromString, StringValue.SerializeToString)

    methods = {
        "Say": handler(grpc.unary_unary_rpc_method_handler, echo.echo),
        "Wait": handler(grpc.unary_unary_rpc_method_handler, echo.wait),
        "Count": handler(grpc.unary_stream_rpc_method_handler, echo.count),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, methods),))


def add_CounterServicer_to_server(counter: Any, server: grpc.aio.Server) -> None:  # noqa: N802  # as generated
    behaviour = grpc.unary_stream_rpc_method_handler(
        counter.count, StringValue.FromString, StringValue.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(COUNTER, {"Count": behaviour}),))


class Caller:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        kind: Any = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.channel = channel
        self.echo: Any = channel.unary_unary(f"/{NAME}/Say", **kind)
        self.wait: Any = channel.unary_unary(f"/{NAME}/Wait", **kind)
        self.count: Any = channel.unary_stream(f"/{NAME}/Count", **kind)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[GrpcServer]:
    part = GrpcServer("127.0.0.1:0", [echo], clock=SystemClock(), service="echo", grace=0.2)
    await part.start()
    yield part
    await part.stop()


@pytest.fixture
async def caller(server: GrpcServer) -> AsyncIterator[Caller]:
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield Caller(channel)


async def test_a_call_is_answered(caller: Caller) -> None:
    assert (await caller.echo(StringValue(value="hello"))).value == "hello"
    assert [message.value async for message in caller.count(StringValue(value="3"))] == ["0", "1", "2"]


@pytest.mark.parametrize("method", ["say", "count"])
@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if kind is not ErrorKind.INTERNAL])
async def test_an_error_crosses_whole(caller: Caller, echo: Echo, kind: ErrorKind, method: str) -> None:
    raised = ERRORS[kind]("grün: no", fields=[FieldProblem("a.b", "wröng")], retry_after=1.5, code="word")
    echo.error = raised
    with pytest.raises(ERRORS[kind]) as caught:
        await call(caller, method)
    assert vars(caught.value) == vars(raised)


@pytest.mark.parametrize("method", ["say", "count"])
@pytest.mark.parametrize("error", [RuntimeError("hunter2"), Internal("hunter2")])
async def test_an_internal_error_shows_its_reference_alone(
    caller: Caller, echo: Echo, error: Exception, method: str
) -> None:
    echo.error = error
    with capture_logs() as logged, pytest.raises(Internal) as caught:
        await call(caller, method)
    reference = caught.value.reference
    assert reference
    assert reference in str(caught.value)
    cause = caught.value.__cause__
    assert isinstance(cause, grpc.aio.AioRpcError)
    assert "hunter2" not in f"{caught.value} {cause.details()} {cause.trailing_metadata()}"
    [line] = [line for line in logged if line["event"] == "internal error"]
    assert (line["reference"], line["exc_info"]) == (reference, error)


async def test_a_fault_keeps_its_reference_from_service_to_service(caller: Caller, echo: Echo) -> None:
    echo.error = Internal("elsewhere", reference="REF")
    with pytest.raises(Internal, match="REF") as caught:
        await call(caller, "say")
    assert caught.value.reference == "REF"


async def test_more_problems_than_metadata_holds_are_cut(caller: Caller, echo: Echo) -> None:
    fields = [FieldProblem(f"scenes[{number}].prompt", "is wrong: ✗" * 5) for number in range(500)]
    echo.error = ERRORS[ErrorKind.INVALID]("✗" * 5000, fields=fields)
    with pytest.raises(ERRORS[ErrorKind.INVALID]) as caught:
        await call(caller, "say")
    assert 0 < len(caught.value.fields) < 500
    assert caught.value.fields == tuple(fields)[: len(caught.value.fields)]
    assert str(caught.value).endswith("✗…")


async def test_a_request_is_checked_before_the_servicer_sees_it(
    caller: Caller, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: object) -> None:
        raise ERRORS[ErrorKind.INVALID]("value is required", fields=[FieldProblem("value", "is required")])

    monkeypatch.setattr(interceptors, "check", refuse)
    echo.error = AssertionError("the servicer was asked")
    for method in ("say", "count"):
        with pytest.raises(ERRORS[ErrorKind.INVALID], match="value is required"):
            await call(caller, method)


async def test_nobody_there_is_unavailable() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 servicekit\.tests\.Echo/Say"):
            await Caller(channel).echo(StringValue())
        with pytest.raises(Unavailable):
            await call(Caller(channel), "count")


async def test_a_call_without_a_timeout_has_a_deadline(server: GrpcServer, echo: Echo) -> None:
    async with open_channel(f"127.0.0.1:{server.port}", deadline=0.1) as channel:
        with pytest.raises(TimedOut):
            await Caller(channel).wait(StringValue())
    async with asyncio.timeout(5):
        await echo.ended.wait()


async def test_an_unknown_method_is_our_fault(caller: Caller) -> None:
    with pytest.raises(Internal, match="Method not found"):
        await caller.channel.unary_unary(f"/{NAME}/Nothing")(b"")
    labels = {"method": "unmatched", "code": "UNIMPLEMENTED"}
    assert REGISTRY.get_sample_value("rushes_rpc_requests_total", labels)
    assert f"{NAME}/Nothing".encode() not in metrics.text()


async def test_the_trace_goes_on_in_the_server(caller: Caller, echo: Echo) -> None:
    with traces.span("outer"):
        outer = traces.trace_id()
        await caller.echo(StringValue())
    assert echo.trace == outer


async def test_every_call_is_counted_and_logged(caller: Caller, echo: Echo) -> None:
    def counted(code: str) -> float:
        return (
            REGISTRY.get_sample_value("rushes_rpc_requests_total", {"method": f"/{NAME}/Say", "code": code})
            or 0.0
        )

    before = counted("OK"), counted("NOT_FOUND")
    with capture_logs() as logged:
        await caller.echo(StringValue())
        echo.error = ERRORS[ErrorKind.NOT_FOUND]("no job job_1", code="gone")
        with pytest.raises(AppError):
            await caller.echo(StringValue())
    assert (counted("OK"), counted("NOT_FOUND")) == (before[0] + 1, before[1] + 1)
    logged = [{key: line.get(key) for key in ("method", "status", "error", "code")} for line in logged]
    assert logged == [
        {"method": f"/{NAME}/Say", "status": "OK", "error": None, "code": None},
        {"method": f"/{NAME}/Say", "status": "NOT_FOUND", "error": "no job job_1", "code": "gone"},
    ]


async def test_logs_of_a_call_have_the_ids_of_its_request(
    caller: Caller, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptors, "ids_of", lambda request: {"job_id": request.value, "scene_id": ""})
    with capture_logs(processors=[merge_contextvars]) as logged:
        await caller.echo(StringValue(value="job_1"))
        await caller.echo(StringValue())
    assert [(line.get("job_id"), "scene_id" in line) for line in logged] == [("job_1", False), (None, False)]


async def test_a_reader_that_leaves_ends_the_stream(caller: Caller, echo: Echo) -> None:
    stream = caller.count(StringValue(value="1000000"))
    assert (await anext(aiter(stream))).value == "0"
    stream.cancel()
    async with asyncio.timeout(5):
        await echo.ended.wait()


async def test_health_and_reflection(caller: Caller) -> None:
    health: Any = health_pb2_grpc.HealthStub(caller.channel)
    for name in ("", NAME):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(ERRORS[ErrorKind.NOT_FOUND]):
        await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(caller.channel)

    async def requests() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    [answer] = [answer async for answer in stub.ServerReflectionInfo(requests())]
    assert NAME in {service.name for service in answer.list_services_response.service}


async def test_stop_first_reports_not_serving_then_lets_calls_finish(
    server: GrpcServer, echo: Echo, caller: Caller
) -> None:
    health: Any = health_pb2_grpc.HealthStub(caller.channel)
    watching = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
    watch = aiter(watching)
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVING
    server._grace = 5.0
    running = asyncio.ensure_future(caller.wait(StringValue(value="kept")))
    await echo.working.wait()
    stopping = asyncio.create_task(server.stop())
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watching.cancel()
    echo.go_on.set()
    assert (await running).value == "kept"
    await stopping
    await server.stop()


async def test_no_call_fails_or_is_done_twice_when_one_of_two_replicas_stops(echo: Echo) -> None:
    """A stopping server refuses the calls of those who have not learned of it: they are sent again."""
    replicas = [GrpcServer("127.0.0.1:0", [echo], clock=SystemClock(), service="echo") for _ in range(2)]
    for replica in replicas:
        await replica.start()
    addresses = ",".join(f"127.0.0.1:{replica.port}" for replica in replicas)
    sent: list[str] = []
    stopped = asyncio.Event()

    async def call_on(caller: Caller, name: str) -> None:
        while not stopped.is_set():
            sent.append(f"{name}.{len(sent)}")
            await caller.echo(StringValue(value=sent[-1]))

    async with open_channel(f"ipv4:{addresses}") as channel:
        caller = Caller(channel)
        callers = [asyncio.create_task(call_on(caller, str(number))) for number in range(30)]
        await eventually(lambda: len(sent) > 100)
        await replicas[0].stop()
        stopped.set()
        await asyncio.gather(*callers)
    assert sorted(echo.texts) == sorted(sent)
    await replicas[1].stop()


async def test_a_call_that_outlives_the_grace_is_cut_off(
    server: GrpcServer, echo: Echo, caller: Caller
) -> None:
    running = asyncio.ensure_future(caller.wait(StringValue()))
    await echo.working.wait()
    await server.stop()
    with pytest.raises(Unavailable):
        await running
    assert echo.ended.is_set()


async def test_a_taken_port_is_reported(server: GrpcServer) -> None:
    other = GrpcServer(f"127.0.0.1:{server.port}", [], clock=SystemClock(), service="other")
    await other.stop()
    with pytest.raises(Precondition, match=f"cannot listen on 127.0.0.1:{server.port}"):
        await other.start()


async def test_a_servicer_of_two_contracts_is_served_under_both(echo: Echo) -> None:
    class Both(Echo, CounterServicer):
        pass

    server = GrpcServer("127.0.0.1:0", [Both()], clock=SystemClock(), service="both", grace=0.2)
    await server.start()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in (NAME, COUNTER):
            response = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert response.status == health_pb2.HealthCheckResponse.SERVING
        assert (await Caller(channel).echo(StringValue(value="x"))).value == "x"
    await server.stop()


def test_what_is_no_servicer_is_refused() -> None:
    with pytest.raises(TypeError, match="SystemClock derives from no generated servicer class"):
        GrpcServer("127.0.0.1:0", [SystemClock()], clock=SystemClock(), service="none")


async def test_a_channel_is_a_part_with_stubs(server: GrpcServer) -> None:
    channel = GrpcChannel(f"127.0.0.1:{server.port}")
    caller = channel.stub(Caller)  # before the start: a composition root makes its adapters first
    await channel.start()
    assert (await caller.echo(StringValue(value="hello"))).value == "hello"
    await channel.check_serving()
    await server.stop()
    with pytest.raises(Unavailable):
        await channel.check_serving()
    await channel.stop()
    await channel.stop()


def test_an_error_of_a_newer_server_is_a_fault() -> None:
    sent = json.dumps({"kind": "haunted", "code": "boo"}).encode()
    error = status.restore(grpc.StatusCode.UNKNOWN, "?", [(status.ERROR_KEY, sent)], target="x")
    assert (type(error), error.code) == (Internal, "boo")


async def call(caller: Caller, method: str) -> None:
    if method == "say":
        await caller.echo(StringValue())
    else:
        assert [message.value async for message in caller.count(StringValue(value="1"))]
