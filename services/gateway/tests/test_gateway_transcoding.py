"""REST to gRPC and back, over real ports."""

from __future__ import annotations

from typing import Any

import pytest

from rushes.catalog.v1 import assets_pb2, campaigns_pb2, clients_pb2, jobs_pb2
from rushes.common.v1.media_pb2 import MEDIA_KIND_IMAGE
from rushes.edit.v1 import edit_pb2
from servicekit.errors import Conflict, Internal, Limited, Precondition
from servicekit.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_create_takes_a_body_and_answers_201_with_every_field(running: Any) -> None:
    answer = await running.http.post(
        "/api/v3/clients", json={"name": "Küste", "metadata": {"n": 3, "x": 0.5}}
    )
    assert answer.status_code == 201
    body = answer.json()
    assert body["id"].startswith("cli_")
    assert body["brand_guidelines"] is None
    assert body["metadata"] == {"n": 3, "x": 0.5}
    assert isinstance(body["metadata"]["n"], int)
    assert body["created_at"].endswith("Z")
    assert body["updated_at"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v3/generations", {"model": "a/b", "input": {"prompt": "x"}}, 202),
        ("POST", "/api/v3/generations:batch", {"requests": [{"model": "a/b"}]}, 202),
        ("POST", "/api/v3/campaigns/{campaign}/create-job", {"planner": "deterministic"}, 201),
        ("POST", "/api/v3/campaigns/{campaign}/create-job", {"planner": "llm"}, 202),
        ("POST", "/api/v3/jobs/{job}/approve", None, 200),
        ("DELETE", "/api/v3/clients/{client}", None, 204),
        ("GET", "/api/v3/models/acme/zoom", None, 200),
    ],
)
async def test_statuses(running: Any, method: str, path: str, body: Any, status: int) -> None:
    ids = {kind: new_id(kind) for kind in ("campaign", "job", "client")}
    answer = await running.http.request(method, path.format(**ids), json=body)
    assert answer.status_code == status, answer.text
    assert bool(answer.content) == (status != 204)


async def test_a_promise_that_nothing_keeps_is_refused(running: Any) -> None:
    """Ignoring the header would let a client repeat what is paid for."""
    before = list(running.services.requests)
    answer = await running.http.post(
        "/api/v3/generations", json={"model": "a/b"}, headers={"Idempotency-Key": "once"}
    )
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["field"] == "Idempotency-Key"
    assert "Nothing was done" in problem["message"]
    assert running.services.requests == before


async def test_path_query_and_body_reach_the_message(running: Any) -> None:
    client, campaign = new_id("client"), new_id("campaign")
    await running.http.get(f"/api/v3/clients/{client}/campaigns?page_size=7&q=a%20b%26c&page_token=")
    assert running.services.last(campaigns_pb2.ListCampaignsRequest) == campaigns_pb2.ListCampaignsRequest(
        client_id=client, page_size=7, q="a b&c"
    )
    await running.http.get(f"/api/v3/campaigns/{campaign}/assets?kind=image")
    assert running.services.last(assets_pb2.ListAssetsRequest) == assets_pb2.ListAssetsRequest(
        campaign_id=campaign, kind=MEDIA_KIND_IMAGE
    )
    body = {"scene_count": 3, "transition": "crossfade", "music": {"prompt": "waltz", "gain_db": -3}}
    await running.http.post(f"/api/v3/campaigns/{campaign}/create-job", json=body)
    assert running.services.last(jobs_pb2.CreateJobRequest) == jobs_pb2.CreateJobRequest(
        campaign_id=campaign,
        scene_count=3,
        transition=edit_pb2.TRANSITION_KIND_CROSSFADE,
        music=jobs_pb2.MusicRequest(prompt="waltz", gain_db=-3),
    )
    await running.http.put(
        f"/api/v3/clients/{client}", json={"id": client, "name": "N", "brand_guidelines": None}
    )
    assert running.services.last(clients_pb2.UpdateClientRequest) == clients_pb2.UpdateClientRequest(
        id=client, name="N"
    )


async def test_integers_of_64_bits_are_numbers(running: Any) -> None:
    answer = await running.http.get("/api/v3/models/acme/zoom")
    assert f'"run_count":{2**53 + 1}' in answer.text.replace(" ", "")


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "message"),
    [
        ("POST", "/api/v3/clients", {"nam": "x"}, "nam", "did you mean name?"),
        ("POST", "/api/v3/clients", {"name": 7}, "name", "must be a text, and is 7"),
        ("POST", "/api/v3/clients", {}, "name", "is required"),
        ("POST", "/api/v3/clients", {"name": "\ud800"}, "name", "surrogate"),
        (
            "POST",
            "/api/v3/clients",
            {"name": "x", "metadata": []},
            "metadata",
            "must be an object, and is a list",
        ),
        ("POST", "/api/v3/clients", [], "body", "must be an object"),
        ("GET", "/api/v3/clients?pagesize=3", None, "pagesize", "did you mean page_size?"),
        ("GET", "/api/v3/clients?page_size=three", None, "page_size", "whole number"),
        ("GET", "/api/v3/clients?page_size=1&page_size=2", None, "page_size", "once is enough"),
        ("GET", "/api/v3/clients?page_size=99999999999", None, "page_size", "whole number from"),
        ("GET", "/api/v3/clients?page_size=500", None, "page_size", "at most 200"),
        ("GET", "/api/v3/generations?status=complete", None, "status", "did you mean completed?"),
        ("GET", "/api/v3/generations?job_id=gen_1", None, "job_id", "is not a job id"),
        ("GET", "/api/v3/jobs/nonsense", None, "id", "is not a job id"),
        (
            "POST",
            "/api/v3/generations:batch",
            {"requests": [{"model": "a/b"}, {"modle": "a/b"}]},
            "requests[1].modle",
            "did you mean model?",
        ),
        ("POST", "/api/v3/generations", {"model": "a/b", "input": {"x": 1e999}}, "input.x", "64-bit float"),
    ],
)
async def test_what_is_wrong_is_named(
    running: Any, method: str, path: str, body: Any, field: str, message: str
) -> None:
    import json

    content = None if body is None else json.dumps(body).replace("Infinity", "1e999")
    answer = await running.http.request(method, path, content=content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert problem["instance"] == path.partition("?")[0]
    assert [(e["field"], message in e["message"]) for e in problem["errors"]] == [(field, True)], problem


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"name": ', 400),
        (b"\xff\xfe", 400),
        (b'{"name": "a", "name": "b"}', 400),
        (b'{"name": NaN}', 400),
        (b'{"metadata": ' + b"[" * 100_000, 400),
        (b'{"name": "x", "metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 41, 400),
        (b'{"name": ' + b"9" * 5000 + b"}", 400),
        (b'{"name": "' + b"x" * (1024 * 1024) + b'"}', 413),
    ],
)
async def test_bodies_that_are_no_json_of_ours(running: Any, body: bytes, status: int) -> None:
    answer = await running.http.post("/api/v3/clients", content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not running.services.clients


async def test_a_body_without_announced_length_is_limited_too(running: Any) -> None:
    async def long() -> Any:
        yield b'{"name": "'
        for _ in range(48):
            yield b"x" * 65536

    answer = await running.http.post("/api/v3/clients", content=long())
    assert answer.status_code == 413


async def test_a_form_is_no_json(running: Any) -> None:
    answer = await running.http.post("/api/v3/clients", data={"name": "x"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("error", "status"),
    [(Conflict("there"), 409), (Precondition("not now"), 409), (Limited("slow", retry_after=3), 429)],
)
async def test_errors_of_other_services_come_through(running: Any, error: Any, status: int) -> None:
    running.services.error = error
    answer = await running.http.post("/api/v3/clients", json={"name": "x"})
    assert answer.status_code == status
    assert answer.json()["detail"] == error.message
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)


async def test_faults_are_shown_by_a_reference_alone(running: Any) -> None:
    running.services.error = Internal("the secret is 7")
    answer = await running.http.post("/api/v3/clients", json={"name": "x"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["reference"]


async def test_unknown_paths_and_methods_are_problems(running: Any) -> None:
    missing = await running.http.get("/api/v3/nothing")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    wrong = await running.http.patch("/api/v3/clients")
    assert wrong.status_code == 405
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
