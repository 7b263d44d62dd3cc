"""Calls from the provider are handed on byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from rushes.generator.v1.webhooks_pb2 import ReceiveWebhookRequest
from servicekit.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = '{"id": "x",  "output": "é"}\n'.encode()


@pytest.mark.parametrize("named", [True, False])
async def test_bytes_and_headers_arrive_as_they_were(running: Any, named: bool) -> None:
    attempt = new_id("attempt") if named else ""
    path = "/api/webhooks/replicate" + (f"/{attempt}" if named else "")
    headers = {
        "Webhook-Id": "1",
        "webhook-signature": "v1,abc",
        "Webhook-Timestamp": "2",
        "Cookie": "secret=1",
    }
    answer = await running.http.post(path, content=BODY, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"new": True})
    received = running.services.last(ReceiveWebhookRequest)
    assert (received.attempt_id, received.body) == (attempt, BODY)
    assert received.headers["webhook-id"] == "1"
    assert received.headers["webhook-signature"] == "v1,abc"
    assert not {"cookie", "x-api-key", "authorization"} & set(received.headers)


async def test_a_bad_signature_is_401(running: Any) -> None:
    running.services.bad_signature = True
    answer = await running.http.post("/api/webhooks/replicate", content=BODY, headers={"X-API-Key": ""})
    assert answer.status_code == 401


async def test_limits(running: Any) -> None:
    largest = await running.http.post("/api/webhooks/replicate", content=b"x" * (4 * 1024 * 1024))
    assert largest.status_code == 200, largest.text
    larger = await running.http.post("/api/webhooks/replicate", content=b"x" * (4 * 1024 * 1024 + 1))
    assert larger.status_code == 413
    assert (await running.http.post("/api/webhooks/replicate/nonsense", content=BODY)).status_code == 422
    assert (await running.http.post("/api/webhooks/replicate", content=b"")).status_code == 422
