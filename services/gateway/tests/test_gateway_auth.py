"""Keys and scopes."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from gateway.core.auth.domain import Scope, key_digest, key_from
from gateway.core.rest.domain.path_templates import parse_template
from gateway.edges.auth.api_key_auth import ApiKeyAuth
from gateway.edges.http.routing import Operation
from rushes.catalog.v1.keys_pb2 import ApiKey
from servicekit.errors import Unauthenticated
from servicekit.ids import new_id
from servicekit.testing import SimulatedClock

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "Basic read-key"}, 401),
        ({"X-API-Key": "read-key"}, 200),
        ({"Authorization": "Bearer read-key"}, 200),
        ({"Authorization": "bearer   read-key"}, 200),
    ],
)
async def test_who_is_let_in(running: Any, headers: dict[str, str], status: int) -> None:
    del running.http.headers["X-API-Key"]
    try:
        answer = await running.http.get("/api/v3/clients", headers=headers)
    finally:
        running.http.headers["X-API-Key"] = "write-key"
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        ("read-key", "POST", "/api/v3/clients", 403),
        ("read-key", "DELETE", "/api/v3/clients/x", 403),
        ("read-key", "POST", "/api/v3/assets", 403),
        ("write-key", "GET", "/api/v3/api-keys", 403),
        ("write-key", "GET", "/api/v3/admin/downloads/failed", 403),
        ("admin-key", "GET", "/api/v3/api-keys", 200),
        ("read-key", "HEAD", "/api/v3/clients", 200),
    ],
)
async def test_scopes(running: Any, key: str, method: str, path: str, status: int) -> None:
    answer = await running.http.request(method, path, headers={"X-API-Key": key})
    assert answer.status_code == status
    if status == 403:
        assert key.split("-", maxsplit=1)[0] in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/api/openapi.json"])
async def test_what_is_open(running: Any, path: str) -> None:
    answer = await running.http.get(path, headers={"X-API-Key": ""})
    assert answer.status_code == 200


async def test_a_key_is_remembered_for_seconds_and_no_longer() -> None:
    clock, requested = SimulatedClock(), []
    known: dict[str, ApiKey] = {key_digest("k"): ApiKey(id=new_id("api_key"), scope="SCOPE_READ")}

    async def calls(request: Any, response: Any) -> Any:
        requested.append(request.key_sha256)
        if request.key_sha256 not in known:
            raise Unauthenticated("revoked")
        return known[request.key_sha256]

    auth = ApiKeyAuth(calls, clock, "secret")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v3/x",
        "query_string": b"",
        "headers": [(b"x-api-key", b"k")],
    }
    operation = Operation("GET", parse_template("/api/v3/x"), None, Scope.READ)  # type: ignore[arg-type]
    await auth.authorize(Request(scope), operation)
    known.clear()
    clock.advance(4.9)
    await auth.authorize(Request(scope), operation)
    assert len(requested) == 1
    clock.advance(5.2)
    with pytest.raises(Unauthenticated):
        await auth.authorize(Request(scope), operation)
    # What ends by itself ends on time, remembered or not.
    ends = ApiKey(id=new_id("api_key"), scope="SCOPE_READ")
    ends.expires_at.FromDatetime(clock.now())
    ends.expires_at.seconds += 1
    known[key_digest("k")] = ends
    await auth.authorize(Request(scope), operation)
    clock.advance(1.1)
    known.clear()
    with pytest.raises(Unauthenticated):
        await auth.authorize(Request(scope), operation)


async def test_a_header_without_a_key_is_none() -> None:
    assert key_from({"authorization": "Bearer"}) is None
