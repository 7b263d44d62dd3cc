"""Exit codes and last words of a service's process; the real thing once, under a real signal."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc
import httpx
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit import config
from servicekit.embedded.process import free_port
from servicekit.errors import Precondition
from servicekit.grpc.server import READY
from servicekit.process import main
from servicekit.process.lifecycle import Part
from servicekit.telemetry import traces


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, provider = root.handlers[:], root.level, traces._Tracing.provider
    yield
    structlog.reset_defaults()
    root.handlers[:], traces._Tracing.provider = handlers, provider
    root.setLevel(level)


@dataclass(frozen=True)
class Settings:
    url: str = config.setting("URL", doc="Where the database is.")


class Nothing:
    async def start(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None:
        pass


class Broken(Nothing):
    async def start(self) -> None:
        raise Precondition("the port is taken")


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    config.load(Settings, environ)
    return [Nothing()]


async def build_in_the_loop(environ: Mapping[str, str]) -> Sequence[Part]:
    assert asyncio.get_running_loop()
    return [Broken()]


def test_stopped_in_order_is_0() -> None:
    assert main.main("svc", build, environ={"URL": "x"}) == main.OK


def test_wrong_settings_are_logged_without_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main("svc", build, environ={}) == main.MISCONFIGURED
    line = json.loads(capsys.readouterr().out)
    assert "URL is missing: expected a text. Where the database is." in line["problem"]
    assert "exception" not in line


def test_a_failed_start_is_logged_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main("svc", build_in_the_loop, environ={}) == main.FAILED
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["reason"]) == ("ended", "svc: Broken did not start: the port is taken")


class Stuck(Nothing):
    async def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()


def test_a_forced_stop_is_logged_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main("svc", lambda _: [Stuck()], environ={}) == main.FAILED
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["reason"]) == ("ended", "a second signal arrived: stopped at once")


PROGRAM = """
import sys
from starlette.applications import Starlette
from servicekit.http.server import HttpServer
from servicekit.process.main import main
sys.exit(main("web", lambda environ: [HttpServer(Starlette(), "127.0.0.1:0")]))
"""


def test_a_process_ends_in_order_at_sigterm() -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        logged = []
        for line in child.stdout:
            logged.append(json.loads(line)["event"])
            if logged[-1] == "started":
                child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    assert [event for event in logged if event in ("started", "stopping", "stopped")] == [
        "started",
        "stopping",
        "stopped",
    ]


NOT_READY = """
import os, sys
from servicekit.clock import SystemClock
from servicekit.errors import Unavailable
from servicekit.grpc.server import GrpcServer
from servicekit.process.main import main

class Stuck:
    async def start(self): pass
    async def stop(self): pass
    async def check_ready(self): raise Unavailable("12 events wait in the outbox")

def build(environ):
    return [Stuck(), GrpcServer(os.environ["GRPC_LISTEN"], [], clock=SystemClock(), service="web")]

sys.exit(main("web", build))
"""


def test_readiness_is_that_of_the_parts_and_no_part_changes_that_the_process_answers() -> None:
    port, grpc_listen = free_port(), f"127.0.0.1:{free_port()}"
    environ = {**os.environ, "METRICS_LISTEN": f"127.0.0.1:{port}", "GRPC_LISTEN": grpc_listen}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", NOT_READY], stdout=subprocess.PIPE, text=True, env=environ
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "started":
                response = httpx.get(f"http://127.0.0.1:{port}/readyz")
                assert "\nrushes_ready 0.0" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
                assert (response.status_code, response.text) == (503, "Stuck: 12 events wait in the outbox")
                with grpc.insecure_channel(grpc_listen) as channel:
                    health = health_pb2_grpc.HealthStub(channel)
                    answers = [
                        health.Check(health_pb2.HealthCheckRequest(service=name)).status
                        for name in ("", READY)
                    ]
                status = health_pb2.HealthCheckResponse
                assert answers == [status.SERVING, status.NOT_SERVING]
                child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0


def test_what_is_counted_is_served_while_everything_runs() -> None:
    port = free_port()
    environ = {**os.environ, "METRICS_LISTEN": f"127.0.0.1:{port}"}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env=environ
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "started":
                counted = httpx.get(f"http://127.0.0.1:{port}/metrics").text
                assert "python_info" in counted
                assert "\nrushes_ready 1.0" in counted
                assert httpx.get(f"http://127.0.0.1:{port}/readyz").text == "ready"
                child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
