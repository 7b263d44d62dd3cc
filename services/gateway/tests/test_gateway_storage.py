"""The routes of storage: at both addresses, for operators alone, each field where clients look for it."""

from __future__ import annotations

from typing import Any

import pytest

from rushes.catalog.v1 import storage_pb2
from servicekit.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATOR = {"X-API-Key": "admin-key"}
ROUTES = [
    ("GET", "/api/v3/admin/storage/stats"),
    ("GET", "/api/admin/storage/stats"),
    ("DELETE", "/api/v3/admin/storage/videos/gen_1"),
    ("DELETE", "/api/admin/storage/videos/gen_1"),
    ("POST", "/api/v3/admin/storage/cleanup"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_only_operators_are_let_in(running: Any, method: str, path: str) -> None:
    answer = await running.http.request(method, path)  # with a key that may write
    assert answer.status_code == 403
    assert "admin" in answer.json()["detail"]
    assert running.services.requests == []


@pytest.mark.parametrize("path", ["/api/v3/admin/storage/stats", "/api/admin/storage/stats"])
async def test_the_statistics_have_every_field(running: Any, path: str) -> None:
    answer = await running.http.get(path, params={"page_size": 7}, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    stats = answer.json()
    assert running.services.last(storage_pb2.GetStorageStatsRequest).page_size == 7
    assert (stats["total_videos"], stats["total_size_bytes"], stats["total_size_mb"]) == (2, 2**53 + 2, 0)
    assert stats["by_kind"] == {"video": {"count": 2, "size_bytes": 0}}
    assert set(stats["downloads"] or {"completed", "failed", "retried", "lost"}) == {
        "completed",
        "failed",
        "retried",
        "lost",
    }
    (file,) = stats["files"]
    assert (file["kind"], file["generation_id"], file["job_id"]) == ("video", None, None)


@pytest.mark.parametrize("root", ["/api/v3/admin", "/api/admin"])
async def test_a_deletion_answers_nothing(running: Any, root: str) -> None:
    id_ = new_id("media")
    answer = await running.http.delete(f"{root}/storage/videos/{id_}", headers=OPERATOR)
    assert (answer.status_code, answer.content) == (204, b"")
    assert running.services.last(storage_pb2.DeleteVideoRequest).id == id_


async def test_a_clean_up_is_requested_in_days(running: Any) -> None:
    path = "/api/v3/admin/storage/cleanup"
    answer = await running.http.post(path, json={"older_than_days": 30, "dry_run": True}, headers=OPERATOR)
    assert (answer.status_code, answer.json()["dry_run"], answer.json()["more"]) == (200, True, True)
    assert running.services.last(storage_pb2.CleanUpStorageRequest).older_than_days == 30
    wrong = await running.http.post(path, json={"older_than": 30}, headers=OPERATOR)
    assert wrong.status_code == 422
    assert "did you mean older_than_days?" in wrong.text
