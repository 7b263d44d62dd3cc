"""A real HTTP server: errors as problems, the trace, the access line, the drain."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import uvloop
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from servicekit.errors import (
    ERRORS,
    ErrorKind,
    FieldProblem,
    Internal,
    Invalid,
    Limited,
    Precondition,
    Unavailable,
)
from servicekit.http.edge import EdgeMiddleware
from servicekit.http.ops import ops_app
from servicekit.http.problem import MEDIA_TYPE, install_problem_handlers
from servicekit.http.server import HttpServer, stop_accepting
from servicekit.telemetry import metrics, traces
from servicekit.testing.eventually import eventually


class Site:
    """An app that raises what it is told to, and tells when it is working."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.working = asyncio.Event()
        self.go_on = asyncio.Event()
        self.app = Starlette(
            routes=[Route("/things/{id}", self.thing), Route("/wait", self.wait), Route("/half", self.half)],
            middleware=[Middleware(EdgeMiddleware)],
        )
        install_problem_handlers(self.app)

    async def thing(self, request: Request) -> Response:
        if self.error is not None:
            raise self.error
        return PlainTextResponse(traces.trace_id())

    async def wait(self, request: Request) -> Response:
        self.working.set()
        await self.go_on.wait()
        return PlainTextResponse("kept")

    async def half(self, request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("oh")

        return StreamingResponse(body())


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def server(site: Site) -> AsyncIterator[HttpServer]:
    part = HttpServer(site.app, "127.0.0.1:0", grace=1)
    await part.start()
    yield part
    await part.stop()


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as opened:
        yield opened


STATUSES = {
    "invalid": 400, "unauthenticated": 401, "forbidden": 403, "not_found": 404, "conflict": 409,
    "precondition": 409, "limited": 429, "unavailable": 503, "timeout": 504, "internal": 500,
}  # fmt: skip


@pytest.mark.parametrize("kind", ErrorKind)
async def test_each_kind_has_its_status(client: httpx.AsyncClient, site: Site, kind: ErrorKind) -> None:
    site.error = ERRORS[kind]("no such thing")
    answer = await client.get("/things/1?token=hunter2")
    assert answer.status_code == STATUSES[kind]
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    assert (body["type"], body["status"], body["instance"]) == (
        f"urn:rushes:error:{kind}",
        answer.status_code,
        "/things/1",
    )
    assert (body["detail"] == "no such thing") is (kind is not ErrorKind.INTERNAL)
    assert "hunter2" not in answer.text


async def test_fields_that_are_wrong_are_422(client: httpx.AsyncClient, site: Site) -> None:
    site.error = Invalid("no", fields=[FieldProblem("scenes[2].seconds", "must be at most 60")], code="plan")
    answer = await client.get("/things/1")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "scenes[2].seconds", "message": "must be at most 60"}]
    assert answer.json()["code"] == "plan"


async def test_retry_after_is_in_whole_seconds(client: httpx.AsyncClient, site: Site) -> None:
    site.error = Limited("slow down", retry_after=1.2)
    assert (await client.get("/things/1")).headers["retry-after"] == "2"


@pytest.mark.parametrize("error", [RuntimeError("hunter2"), Internal("hunter2")])
async def test_an_internal_error_shows_its_reference_alone(
    client: httpx.AsyncClient, site: Site, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    site.error = error
    with capture_logs() as logged:
        answer = await client.get("/things/1")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    [line] = [line for line in logged if line["log_level"] == "error"]
    assert line["exc_info"] is error
    assert line["reference"] == answer.json()["reference"]
    assert line["reference"] in answer.json()["detail"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "told twice"


async def test_a_fault_of_another_service_keeps_its_reference(client: httpx.AsyncClient, site: Site) -> None:
    site.error = Internal("internal error; quote the reference REF", reference="REF")
    assert (await client.get("/things/1")).json()["reference"] == "REF"


async def test_http_errors_are_problems_too(client: httpx.AsyncClient, site: Site) -> None:
    missing, wrong = await client.get("/nowhere"), await client.post("/things/1")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:rushes:error:not_found")
    assert (wrong.status_code, wrong.json()["title"]) == (405, "Method Not Allowed")
    assert missing.headers["content-type"] == wrong.headers["content-type"] == MEDIA_TYPE
    assert wrong.headers["allow"]
    site.error = HTTPException(416, "no such range", headers={"Content-Range": "bytes */5"})
    ranged = await client.get("/things/1")
    assert (ranged.status_code, ranged.json()["detail"], ranged.headers["content-range"]) == (
        416,
        "no such range",
        "bytes */5",
    )


async def test_the_trace_goes_on_in_the_server(client: httpx.AsyncClient) -> None:
    with traces.span("outer"):
        answer = await client.get("/things/1", headers=traces.inject())
        assert answer.text == traces.trace_id()


async def test_every_request_is_counted_by_route_and_logged(client: httpx.AsyncClient, site: Site) -> None:
    labels = {"method": "GET", "route": "/things/{id}", "status": "200"}
    before = REGISTRY.get_sample_value("rushes_http_requests_total", labels) or 0.0
    with capture_logs() as logged:
        await client.get("/things/1?token=hunter2")
        await client.get("/nowhere")
    assert REGISTRY.get_sample_value("rushes_http_requests_total", labels) == before + 1
    assert [(line["event"], line["path"], line["status"]) for line in logged] == [
        ("http", "/things/1", 200),
        ("http", "/nowhere", 404),
    ]
    assert b'rushes_http_requests_total{method="GET",route="unmatched",status="404"}' in metrics.text()


async def test_no_client_makes_metrics_grow(client: httpx.AsyncClient) -> None:
    def series() -> int:
        return metrics.text().count(b"rushes_http_requests_total{")

    await client.request("PROPFIND", "/nowhere/0")
    before = series()
    for number, method in enumerate(("LOCK", "PURGE", "REPORT")):
        await client.request(method, f"/nowhere/{number}?query={number}")
    assert series() == before
    assert b'rushes_http_requests_total{method="other",route="unmatched",status="404"}' in metrics.text()


async def test_a_running_request_is_finished_before_the_end(
    client: httpx.AsyncClient, site: Site, server: HttpServer
) -> None:
    running = asyncio.create_task(client.get("/wait"))
    await site.working.wait()
    stopping = asyncio.create_task(server.stop())
    await eventually(lambda: refused(server.port))
    site.go_on.set()
    assert (await running).text == "kept"
    await stopping
    await server.stop()


async def test_an_open_connection_gets_a_last_request_and_then_the_end(site: Site) -> None:
    server = HttpServer(site.app, "127.0.0.1:0", last_requests=30.0)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        assert "connection" not in (await client.get("/things/1")).headers
        stopping = asyncio.create_task(server.stop())
        await eventually(lambda: refused(server.port))
        assert (await client.get("/things/1")).headers["connection"] == "close"
        await asyncio.wait_for(stopping, 10.0)  # once nobody is connected any more


async def test_a_connection_without_a_last_request_is_closed(site: Site) -> None:
    server = HttpServer(site.app, "127.0.0.1:0", last_requests=0.1)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        await client.get("/things/1")
        await asyncio.wait_for(server.stop(), 10.0)
        with pytest.raises(httpx.ConnectError):
            await client.get("/things/1")


async def test_stop_before_start_and_a_taken_port(server: HttpServer, site: Site) -> None:
    other = HttpServer(site.app, f"127.0.0.1:{server.port}")
    await other.stop()
    with pytest.raises(Precondition, match=f"cannot listen on 127.0.0.1:{server.port}"):
        await other.start()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_a_server_has_accepted_when_it_closes_is_connected(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def close(rounds: int) -> None:
        """So many rounds of the loop after a client came."""
        connected: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex(server.sockets[0].getsockname())
            for _ in range(rounds):
                await asyncio.sleep(0)
            await stop_accepting(server)
            server.close()  # again: an open one would hold up the end of the loop
            for writer in connected:
                writer.transport.abort()
            with contextlib.suppress(ConnectionResetError):  # it was never accepted
                end = asyncio.get_running_loop().sock_recv(client, 1)
                assert await asyncio.wait_for(end, 5.0) == b""

    with asyncio.Runner(loop_factory=new_loop) as runner:
        for rounds in range(5):
            runner.run(close(rounds))


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed while we connected
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def test_half_an_answer_breaks_the_connection(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/half")


async def test_readiness_shows_the_reason() -> None:
    state: list[Exception] = []

    async def ready() -> None:
        for error in state:
            raise error

    transport = httpx.ASGITransport(ops_app(ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://ops") as ops:
        assert (await ops.get("/healthz")).status_code == 200
        assert (await ops.get("/readyz")).status_code == 200
        state.append(Unavailable("no event log"))
        answer = await ops.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "no event log")
        counted = await ops.get("/metrics")
        assert counted.headers["content-type"] == metrics.CONTENT_TYPE
        assert "rushes_http_seconds" in counted.text
