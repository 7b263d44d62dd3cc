"""Fixtures: a real sandbox on a free port for the whole run, and a receiver of its webhooks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import replicate

from sandbox.main import build
from servicekit.http.server import HttpServer
from servicekit.process.lifecycle import Part


def until(check: Callable[[], Any], *, within: float = 20.0) -> Any:
    """Call `check` until its answer is true; returns that."""
    end = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < end, f"not within {within} s: {check}"
        threading.Event().wait(0.02)
    return found


@dataclass
class Sandbox:
    """A running sandbox, with an HTTP client and the official client."""

    url: str
    http: httpx.Client
    client: replicate.Client

    def create(
        self, model: str = "rushes/instant", value: dict[str, Any] | None = None, **body: Any
    ) -> dict[str, Any]:
        headers = body.pop("headers", {})
        answer = self.http.post(
            f"/v1/models/{model}/predictions", json={"input": value or {}, **body}, headers=headers
        )
        assert answer.status_code in (201, 202), answer.text
        return answer.json()

    def get(self, prediction: dict[str, Any]) -> dict[str, Any]:
        return self.http.get(f"/v1/predictions/{prediction['id']}").json()

    def ended(self, prediction: dict[str, Any]) -> dict[str, Any]:
        return until(lambda: (p := self.get(prediction))["completed_at"] and p)

    def output(self, model: str = "rushes/instant", value: dict[str, Any] | None = None) -> str:
        shown = self.ended(self.create(model, value))
        assert shown["status"] == "succeeded", shown
        return shown["output"]

    def fault(
        self, name: str, *, count: int | None = 1, match: dict[str, str] | None = None, **params: Any
    ) -> None:
        rule = {"fault": name, "match": match or {}, "params": params} | ({"count": count} if count else {})
        answer = self.http.post("/sandbox/faults", json=rule)
        assert answer.status_code == 201, answer.text

    def clock(self, **body: Any) -> dict[str, Any]:
        return self.http.post("/sandbox/clock", json=body).json()

    def ledger(self) -> dict[str, Any]:
        return self.http.get("/sandbox/ledger").json()


def running(environ: dict[str, str]) -> Iterator[Sandbox]:
    """A sandbox in this process, on an event loop of its own, because the official client blocks."""
    ready, loops = threading.Event(), []
    parts: list[Part] = []

    def body() -> None:
        async def live() -> None:
            parts.extend(build(environ))
            ended = asyncio.Event()
            for part in parts:
                await part.start()
            loops.append((asyncio.get_running_loop(), ended))
            ready.set()
            await ended.wait()
            for part in reversed(parts):
                await part.stop()

        asyncio.run(live())

    thread = threading.Thread(target=body)
    thread.start()
    assert ready.wait(20), "the sandbox did not start"
    port = next(part.port for part in parts if isinstance(part, HttpServer))
    url = f"http://127.0.0.1:{port}"
    token = environ.get("SANDBOX_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        client = replicate.Client(base_url=url, api_token=token or "any")
        with httpx.Client(base_url=url, headers=headers, timeout=30) as http, client._client:
            yield Sandbox(url, http, client)
    finally:
        loop, ended = loops[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    return until


@pytest.fixture(name="running")
def _running() -> Callable[[dict[str, str]], Iterator[Sandbox]]:
    return running


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder: Path = tmp_path_factory.mktemp("sandbox")
    yield from running({"SANDBOX_LISTEN": "127.0.0.1:0", "SANDBOX_DATA": str(folder), "SANDBOX_SPEED": "50"})


@pytest.fixture
def sandbox(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.02")
    _sandbox.client.poll_interval = 0.02
    yield _sandbox
    _sandbox.http.delete("/sandbox/faults")
    _sandbox.clock(virtual=False)
    # A film that this test did not wait for would make the next ones wait for it.
    for made in _sandbox.http.get("/v1/predictions").json()["results"]:
        if made["completed_at"] is None:
            _sandbox.http.post(f"/v1/predictions/{made['id']}/cancel")


@dataclass
class Received:
    """One webhook as it came in."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server that records requests. `answers`: the next statuses; 200 when there are none."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    notes = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            notes.got.append(Received({k.lower(): v for k, v in self.headers.items()}, body))
            status = notes.answers.pop(0) if notes.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("location", notes.url + "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - what a client that followed a redirect would send

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        notes.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield notes
        server.shutdown()
        thread.join()
