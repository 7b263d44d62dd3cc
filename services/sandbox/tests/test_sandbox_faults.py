"""Every fault, as a client sees it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from replicate.webhook import InvalidSignatureError, Webhooks

from sandbox.core.faults import FAULTS

if TYPE_CHECKING:
    from conftest import Receiver, Sandbox

CREATE = "/v1/models/rushes/instant/predictions"


@pytest.mark.parametrize("name", ["E003", "E004", "E005", "E006", "E1001", "E6716", "E8765", "E9828", "PA"])
def test_prediction_fails_with_its_code(sandbox: Sandbox, name: str) -> None:
    sandbox.fault(name, match={"model": "rushes/instant"})
    failed = sandbox.ended(sandbox.create())
    assert failed["status"] == "failed"
    found = re.search(r"\((?:code: )?(E\d{3,4}|PA)\)", failed["error"])
    assert found
    assert found.group(1) == name
    assert sandbox.ended(sandbox.create())["status"] == "succeeded"


def test_rule_of_another_model_does_not_strike(sandbox: Sandbox) -> None:
    sandbox.fault("E003", match={"model": "rushes/still"})
    assert sandbox.ended(sandbox.create())["status"] == "succeeded"


@pytest.mark.parametrize(
    ("name", "header", "body", "text"),
    [("429_header", "3", None, False), ("429_body", None, 3, True), ("429_text", None, None, True)],
)
def test_throttling(sandbox: Sandbox, name: str, header: str | None, body: int | None, text: bool) -> None:
    sandbox.fault(name)
    before = sandbox.ledger()["count"]
    answer = sandbox.http.post(CREATE, json={"input": {}})
    assert answer.status_code == 429
    assert answer.headers.get("retry-after") == header
    assert answer.json().get("retry_after") == body
    assert ("~3s" in answer.json()["detail"]) is text
    assert sandbox.ledger()["count"] == before


@pytest.mark.parametrize(("name", "status"), [("402", 402), ("401", 401), ("500_html", 500), ("503", 503)])
def test_refusals(sandbox: Sandbox, name: str, status: int) -> None:
    sandbox.fault(name)
    before = sandbox.ledger()["count"]
    answer = sandbox.http.post(CREATE, json={"input": {}})
    assert answer.status_code == status
    assert answer.headers["content-type"].split(";")[0] == {500: "text/html", 503: "text/plain"}.get(
        status, "application/problem+json"
    )
    assert sandbox.ledger()["count"] == before


def test_500_after_accepting_is_charged(sandbox: Sandbox) -> None:
    sandbox.fault("500_html", accept=True)
    before = sandbox.ledger()["count"]
    assert sandbox.http.post(CREATE, json={"input": {}}).status_code == 500
    assert sandbox.ledger()["count"] == before + 1


def test_reset_after_accepting_is_charged(sandbox: Sandbox) -> None:
    sandbox.fault("reset")
    before = sandbox.ledger()["count"]
    with pytest.raises(httpx.ReadError) as caught:
        sandbox.http.post(CREATE, json={"input": {}})
    assert "reset" in str(caught.value)
    ledger = sandbox.ledger()
    assert ledger["count"] == before + 1
    lost = sandbox.http.get("/v1/predictions").json()["results"][0]
    assert lost["id"] == ledger["charges"][-1]["prediction_id"]


def test_hang_is_charged_and_never_answers(sandbox: Sandbox) -> None:
    sandbox.fault("hang")
    before = sandbox.ledger()["count"]
    with pytest.raises(httpx.ReadTimeout):
        sandbox.http.post(CREATE, json={"input": {}}, timeout=0.3)
    assert sandbox.ledger()["count"] == before + 1


def test_slow(sandbox: Sandbox) -> None:
    sandbox.fault("slow", match={"route": "get"}, seconds=0.4)
    made = sandbox.create()
    began = time.monotonic()
    sandbox.get(made)
    assert time.monotonic() - began > 0.38


def test_sync_processing(sandbox: Sandbox) -> None:
    sandbox.fault("sync_processing")
    sandbox.fault("stuck_processing")
    made = sandbox.create(headers={"prefer": "wait=1"})
    assert (made["status"], made["output"]) == ("processing", None)
    sandbox.http.post(f"/v1/predictions/{made['id']}/cancel")


def test_aborted_is_not_billed_and_has_no_logs(sandbox: Sandbox) -> None:
    before = sandbox.ledger()
    sandbox.fault("aborted")
    aborted = sandbox.ended(sandbox.create())
    assert (aborted["status"], aborted["logs"]) == ("aborted", None)
    after = sandbox.ledger()
    assert (after["count"], after["total_micros"]) == (before["count"] + 1, before["total_micros"])


def test_data_removed(sandbox: Sandbox) -> None:
    sandbox.fault("data_removed")
    gone = sandbox.ended(sandbox.create())
    assert (gone["status"], gone["output"], gone["data_removed"]) == ("succeeded", None, True)


def test_inline_output(sandbox: Sandbox) -> None:
    sandbox.fault("output_inline")
    assert sandbox.ended(sandbox.create())["output"].startswith("data:video/mp4;base64,")


def test_truncated_and_reset_bodies(sandbox: Sandbox) -> None:
    address = sandbox.output()
    size = int(sandbox.http.head(address).headers["content-length"])
    sandbox.fault("output_truncated", fraction=0.25)
    got: list[bytes] = []
    with sandbox.http.stream("GET", address) as answer:
        assert answer.headers["content-length"] == str(size)
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_raw())
    assert sum(map(len, got)) == int(size * 0.25)
    sandbox.fault("output_reset")
    with pytest.raises(httpx.TransportError):
        sandbox.http.get(address)
    assert len(sandbox.http.get(address).content) == size


def test_short_and_corrupted_files(sandbox: Sandbox) -> None:
    address = sandbox.output()
    whole = sandbox.http.get(address).content
    sandbox.fault("output_short")
    short = sandbox.http.get(address)
    assert (short.status_code, short.content) == (200, whole[: len(whole) // 2])
    sandbox.fault("output_corrupted")
    corrupted = sandbox.http.get(address).content
    assert len(corrupted) == len(whole)
    assert corrupted != whole
    assert corrupted[:1000] == whole[:1000]


def test_swapped_between_resumes(sandbox: Sandbox) -> None:
    address = sandbox.output()
    sandbox.fault("output_swapped")
    first = sandbox.http.get(address)
    resumed = sandbox.http.get(address, headers={"range": "bytes=100-", "if-range": first.headers["etag"]})
    assert resumed.status_code == 200
    assert resumed.headers["etag"] != first.headers["etag"]
    assert resumed.content != first.content
    assert sandbox.http.get(address).content == resumed.content


def test_range_faults(sandbox: Sandbox) -> None:
    address = sandbox.output()
    whole = sandbox.http.get(address).content
    sandbox.fault("range_ignored")
    sandbox.fault("range_416")
    assert sandbox.http.get(address).status_code == 200
    ignored = sandbox.http.get(address, headers={"range": "bytes=100-"})
    assert (ignored.status_code, ignored.content) == (200, whole)
    assert sandbox.http.get(address, headers={"range": "bytes=100-"}).status_code == 416


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("output_html", 200),
        ("output_expired_403", 403),
        ("output_expired_404", 404),
        ("output_500", 500),
        ("redirect_private", 302),
    ],
)
def test_odd_answers_for_files(sandbox: Sandbox, name: str, status: int) -> None:
    address = sandbox.output()
    sandbox.fault(name)
    answer = sandbox.http.get(address)
    assert answer.status_code == status
    if name == "output_html":
        assert answer.headers["content-type"].startswith("text/html")
    if name == "redirect_private":
        assert answer.headers["location"].startswith("http://169.254.169.254/")
    assert sandbox.http.get(address).status_code == 200


def test_slow_drip(sandbox: Sandbox) -> None:
    address = sandbox.output()
    size = int(sandbox.http.head(address).headers["content-length"])
    sandbox.fault("slow_drip", chunk=size // 4 + 1, seconds=0.1)
    began = time.monotonic()
    assert len(sandbox.http.get(address).content) == size
    assert time.monotonic() - began > 0.28


def _completed(sandbox: Sandbox, receiver: Receiver) -> dict[str, Any]:
    return sandbox.ended(sandbox.create(webhook=receiver.url, webhook_events_filter=["completed"]))


def test_webhook_lost_then_doubled(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    sandbox.fault("webhook_lost")
    _completed(sandbox, receiver)
    sandbox.fault("webhook_doubled")
    second = _completed(sandbox, receiver)
    until(lambda: len(receiver.got) == 2)
    assert {json.loads(r.body)["id"] for r in receiver.got} == {second["id"]}
    assert len({r.headers["webhook-id"] for r in receiver.got}) == 1


def test_webhook_as_often_as_one_likes(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    sandbox.fault("webhook_doubled", times=5)
    _completed(sandbox, receiver)
    until(lambda: len(receiver.got) == 5)
    _completed(sandbox, receiver)
    until(lambda: len(receiver.got) == 6)
    assert len({r.headers["webhook-id"] for r in receiver.got}) == 2


def test_webhook_late(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    sandbox.clock(virtual=True)
    sandbox.fault("webhook_late", seconds=45)
    _completed(sandbox, receiver)
    sandbox.clock(advance=44)
    assert not receiver.got
    until(lambda: sandbox.clock(advance=1) and receiver.got)


def test_webhook_reordered(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    sandbox.fault("webhook_reordered")
    _completed(sandbox, receiver)
    until(lambda: len(receiver.got) == 2)
    assert [json.loads(r.body)["status"] for r in receiver.got] == ["succeeded", "processing"]


def test_webhook_bad_signature(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    sandbox.fault("webhook_bad_signature")
    _completed(sandbox, receiver)
    until(lambda: receiver.got)
    secret = sandbox.client.webhooks.default.secret()
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=receiver.got[0].headers, body=receiver.got[0].body.decode(), secret=secret)


def test_probability_is_seeded(sandbox: Sandbox) -> None:
    def run() -> list[int]:
        sandbox.http.delete("/sandbox/faults")
        rule = {"fault": "402", "probability": 0.5, "params": {"seed": 7}}
        assert sandbox.http.post("/sandbox/faults", json=rule).status_code == 201
        return [sandbox.http.post(CREATE, json={"input": {}}).status_code for _ in range(20)]

    first = run()
    assert set(first) == {201, 402}
    assert run() == first


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "nope"},
        {"fault": "402", "count": 0},
        {"fault": "402", "probability": 2},
        {"fault": "402", "when": 1},
        {"fault": "402", "match": {"route": "x"}},
        {"fault": "402", "match": ["model"]},
        {"fault": "402", "params": ["seed"]},
        {"fault": ["402"]},
    ],
)
def test_unreadable_rules_are_refused(sandbox: Sandbox, rule: dict[str, Any]) -> None:
    assert sandbox.http.post("/sandbox/faults", json=rule).status_code == 422


def test_readme_names_every_fault() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert [name for name in FAULTS if f"`{name}`" not in readme] == []
