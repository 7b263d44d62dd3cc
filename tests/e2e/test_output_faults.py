"""Faults of the provider's file server, through the whole system: fetched again, or lost with its reason."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from servicekit.testing import eventually
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

MODEL = "rushes/instant"


@pytest.mark.parametrize(
    "fault", ["output_truncated", "output_html", "output_reset", "output_500", "range_ignored"]
)
async def test_an_output_with_a_bad_transfer_is_fetched_again(fault: str, provider: System) -> None:
    await provider.fault(fault, count=1)
    done = await provider.final_generation((await provider.generation(MODEL))["id"])
    assert done["status"] == "completed", done["error"]
    assert done["attempts"] == 1, "fetching again costs nothing"
    whole = await provider.bytes_of(done["media"][0]["url"])
    assert len(whole) == done["media"][0]["facts"]["size_bytes"]


async def test_a_lost_output_fails_with_its_reason_and_is_in_the_retry_queue(
    provider: System,
) -> None:
    await provider.fault("redirect_private")
    requested = await provider.generation(MODEL)
    done = await provider.final_generation(requested["id"])
    assert done["status"] == "failed"
    assert "169.254.169.254" in done["error"]["message"]
    queue = await provider.get("/api/v3/admin/downloads/failed")
    assert requested["id"] in {each["generation_id"] for each in queue["downloads"]}

    await provider.mend()
    await provider.post(f"/api/v3/admin/downloads/{requested['id']}/requeue")

    async def stored() -> dict[str, Any] | Literal[False]:
        record = await provider.get(f"/api/v3/generations/{requested['id']}")
        return record if record["status"] == "completed" else False

    again = await eventually(stored, within=30.0)
    assert again["attempts"] == 1, "a requeue fetches; it does not pay"
