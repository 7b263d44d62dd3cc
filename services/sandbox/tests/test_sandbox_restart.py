"""A sandbox that is killed with SIGKILL and started again on the same folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import Receiver


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    folder: Path, port: int, until: Any, speed: str = "50"
) -> Iterator[tuple[httpx.Client, Callable[[], None]]]:
    environ = {
        **os.environ,
        "SANDBOX_LISTEN": f"127.0.0.1:{port}",
        "SANDBOX_DATA": str(folder),
        "SANDBOX_SPEED": speed,
        "GRPC_LISTEN": "127.0.0.1:0",
    }
    child = subprocess.Popen([sys.executable, "-m", "sandbox"], env=environ, stdout=subprocess.DEVNULL)

    def kill() -> None:
        child.kill()
        child.wait(10)

    def up(http: httpx.Client) -> bool:
        try:
            return http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            until(lambda: up(http))
            yield http, kill
    finally:
        kill()


def test_everything_accepted_survives_kill_9(tmp_path: Path, receiver: Receiver, until: Any) -> None:
    port = free_port()
    receiver.answers += [500] * 3
    with process(tmp_path, port, until) as (http, kill):
        path = "/v1/models/rushes/instant/predictions"
        done = http.post(path, json={"input": {}}, headers={"prefer": "wait"}).json()
        notified = http.post(
            path, json={"input": {}, "webhook": receiver.url, "webhook_events_filter": ["completed"]}
        ).json()
        until(lambda: receiver.got)
        clip = {"text": "Still here", "duration": 3, "resolution": "720p"}
        cut_off = http.post("/v1/models/rushes/title-card/predictions", json={"input": clip}).json()
        until(lambda: "%|" in http.get(f"/v1/predictions/{cut_off['id']}").json()["logs"])
        secret = http.get("/v1/webhooks/default/secret").json()
        http.post("/sandbox/faults", json={"fault": "402", "match": {"route": "cancel"}, "count": 2})
        rules = http.get("/sandbox/faults").json()["rules"]
        ledger = http.get("/sandbox/ledger").json()
        body = http.get(done["output"]).content
        kill()
    receiver.answers.clear()
    with process(tmp_path, port, until) as (http, _kill):
        assert http.get("/sandbox/ledger").json() == ledger
        assert ledger["count"] == 3
        assert http.get("/v1/webhooks/default/secret").json() == secret
        assert http.get("/sandbox/faults").json()["rules"] == rules
        assert http.get(done["output"]).content == body
        rendered = until(
            lambda: (p := http.get(f"/v1/predictions/{cut_off['id']}").json())["completed_at"] and p
        )
        assert rendered["status"] == "succeeded"
        assert http.get(rendered["output"]).content[4:8] == b"ftyp"
        until(lambda: len({r.headers["webhook-id"] for r in receiver.got}) == 1 and len(receiver.got) >= 2)
        assert http.get(f"/v1/predictions/{notified['id']}").json()["status"] == "succeeded"
        shown = http.get("/v1/predictions").json()["results"]
        assert [p["id"] for p in shown] == [cut_off["id"], notified["id"], done["id"]]


def test_unusable_folder_is_a_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox"],
        env={**os.environ, "SANDBOX_DATA": str(blocked)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "SANDBOX_DATA" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:notaport"])
def test_bad_address_is_a_sentence(tmp_path: Path, address: str) -> None:
    environ = {**os.environ, "SANDBOX_DATA": str(tmp_path), "SANDBOX_LISTEN": address}
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert address in ended.stdout
