"""Faults of the provider, through the whole system: the right result and reason, and nothing paid twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from servicekit.testing import eventually
from tests.e2e.system import FINAL, System

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

MODEL = "rushes/instant"


async def _charged(system: System, before: int) -> int:
    return len(await system.charges()) - before


@pytest.mark.parametrize(
    ("webhooks", "params"),
    [
        ("webhook_lost", {}),
        ("webhook_doubled", {"times": 5}),
        ("webhook_reordered", {}),
        ("webhook_bad_signature", {}),
    ],
    ids=["lost", "five times", "reordered", "bad signature"],
)
async def test_lost_and_wrong_webhooks_do_not_change_the_result(
    webhooks: str, params: dict[str, Any], provider: System
) -> None:
    before = len(await provider.charges())
    await provider.fault(webhooks, params=params)
    done = [await provider.final_generation((await provider.generation(MODEL))["id"]) for _ in range(2)]
    assert [each["status"] for each in done] == ["completed", "completed"]
    assert [len(each["media"]) for each in done] == [1, 1]
    assert [each["attempts"] for each in done] == [1, 1]
    assert await _charged(provider, before) == 2


@pytest.mark.parametrize(
    ("fault", "params"),
    [("reset", {}), ("500_html", {"accept": True}), ("hang", {})],
    ids=["reset", "500", "hang"],
)
async def test_a_submission_with_an_unknown_result_is_adopted_and_not_paid_again(
    fault: str, params: dict[str, Any], provider: System
) -> None:
    before = len(await provider.charges())
    await provider.fault(fault, count=1, params=params)
    done = await provider.final_generation((await provider.generation(MODEL))["id"])
    assert done["status"] == "completed", done["error"]
    assert done["attempts"] == 1
    assert await _charged(provider, before) == 1, "adopted, not submitted again"


async def test_a_submission_that_never_arrived_is_made_again(provider: System) -> None:
    before = len(await provider.charges())
    await provider.fault("reset", count=1, params={"accept": False})
    done = await provider.final_generation((await provider.generation(MODEL))["id"])
    assert done["status"] == "completed", done["error"]
    assert await _charged(provider, before) == 1


@pytest.mark.parametrize("fault", ["E6716", "E9828", "PA"])
async def test_a_temporary_fault_is_retried_and_counted(fault: str, provider: System) -> None:
    await provider.fault(fault, count=1)
    done = await provider.final_generation((await provider.generation(MODEL))["id"])
    assert done["status"] == "completed", done["error"]
    assert done["attempts"] == 2


async def test_a_refusal_is_final_and_shown_in_the_providers_words(provider: System) -> None:
    before = len(await provider.charges())
    await provider.fault("E005")
    done = await provider.final_generation((await provider.generation(MODEL))["id"])
    assert done["status"] == "failed"
    assert done["error"]["code"] == "E005"
    assert "flagged as sensitive" in done["error"]["message"]
    assert done["error"]["retryable"] is False
    assert done["attempts"] == 1
    assert await _charged(provider, before) == 1


@pytest.mark.parametrize("fault", ["429_header", "429_body", "429_text"])
async def test_a_busy_provider_is_waited_for(fault: str, provider: System) -> None:
    before = len(await provider.charges())
    await provider.fault(fault, count=1)
    done = await provider.final_generation((await provider.generation(MODEL))["id"])
    assert done["status"] == "completed", done["error"]
    assert await _charged(provider, before) == 1


class _GeneratorLog:
    """What the generator logs from now on."""

    def __init__(self, system: System) -> None:
        self._path = system.data / "logs" / "generator.log"
        self._from = self._path.stat().st_size

    def lines(self, event: str) -> list[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self._from)
            found = [json.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]
        return [line for line in found if line["event"] == event]


@pytest.mark.parametrize("fault", ["402", "401"])
async def test_submissions_stop_while_the_account_is_refused_and_go_on_when_it_is_accepted(
    fault: str, provider: System
) -> None:
    before = len(await provider.charges())
    log = _GeneratorLog(provider)
    await provider.fault(fault)
    requested = [await provider.generation(MODEL) for _ in range(2)]

    # The first refusal, and the probes after it: none of the probes is a new alert.
    await eventually(lambda: len(log.lines("refused")) >= 3, within=30.0)
    assert {line["status"] for line in log.lines("refused")} == {int(fault)}
    (alarm,) = log.lines("breaker_opened")
    assert alarm["level"] == "error"
    assert alarm["reason"].startswith(f"{fault} ")
    assert "REPLICATE_API_TOKEN or the credit" in alarm["way_out"]
    records = [await provider.get(f"/api/v3/generations/{each['id']}") for each in requested]
    assert all(each["status"] not in FINAL for each in records), records
    assert log.lines("breaker_closed") == []
    assert await _charged(provider, before) == 0

    await provider.mend()
    done = [await provider.final_generation(each["id"], within=90.0) for each in requested]
    assert [each["status"] for each in done] == ["completed"] * 2, [each["error"] for each in done]
    assert await _charged(provider, before) == 2
    assert [len(log.lines(event)) for event in ("breaker_opened", "breaker_closed")] == [1, 1]


async def test_a_wrong_input_is_refused_before_anything_is_paid(provider: System) -> None:
    before = len(await provider.charges())
    got = await provider.http.post(
        "/api/v3/generations",
        json={"model": "rushes/camera-move", "input": {"image": "asset:x", "duratoin": 4, "fps": 23}},
    )
    assert got.status_code == 422
    problems = {each["field"]: each["message"] for each in got.json()["errors"]}
    assert "duration" in problems["input.duratoin"]
    assert "24" in problems["input.fps"]
    assert await _charged(provider, before) == 0


@pytest.mark.parametrize(
    ("fault", "model"), [("401", "bytedance/seedance-1-lite"), ("429_header", "bytedance/seedance-1-pro")]
)
async def test_a_plan_waits_for_a_provider_that_refuses_us(
    fault: str, model: str, provider: System, photos: list[Path]
) -> None:
    campaign = await provider.campaign(photos[:2])
    await provider.fault(fault, count=1, match={"route": "models", "model": model})
    request = {"scene_count": 1, "model": model}
    requested = await provider.post(f"/api/v3/campaigns/{campaign['id']}/create-job", request)

    async def planned() -> bool:
        job = await provider.job(requested["id"])
        assert job["status"] in ("draft", "awaiting_approval"), job["error"]
        return bool(job["status"] == "awaiting_approval")

    await eventually(planned, within=30.0)
    await provider.post(f"/api/v3/jobs/{requested['id']}/cancel")


async def test_a_refused_token_of_ours_is_no_error_of_the_callers_key(provider: System) -> None:
    await provider.fault("401", match={"route": "models", "model": "minimax/video-01"})
    got = await provider.http.get("/api/v3/models/minimax/video-01")
    assert got.status_code == 503, got.text
    assert "REPLICATE_API_TOKEN" in got.json()["detail"]
