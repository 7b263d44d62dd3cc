"""B9: generations of an instant model a second through the system, and the time of each step at 20/s."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

from bench.measure import Line, Scale, percentile
from bench.stack import SERVICES, LoggedEvent, Stack, all_ended, running_stack
from rushes.events.v1.events_pb2 import PredictionSucceeded

MODEL = "rushes/instant"
BAR_A_SECOND, BAR_HOP_MS = 40, 60
PACE, CALM = 20, 4
"""Generations a second: of the bar, and of a system that is hardly used."""

NOTE = (
    "B9: the whole system by `rushes up` on this machine: six services, log, store, sandbox. "
    "REPLICATE_MAX_CONCURRENCY=200, REPLICATE_START_DELAY_MS=0. Rate: from the first "
    "`POST /generations:batch` (100 each) to the last `generation.completed`, after a batch to warm up."
)
HOPS_NOTE = (
    "B9, hops: each generation by a `POST /generations` of its own, evenly spaced. A hop is the time between "
    "two events of one generation as the log stored them (at the provider: its own `created_at` and "
    "`completed_at`); the samples are generations. At a pace above the rate the hops are mostly queues."
)
CPU_NOTE = (
    "B9, processor: of each process while the rate was measured, over the generations, in milliseconds."
)


async def measure(scale: Scale) -> list[Line]:
    env = {"REPLICATE_MAX_CONCURRENCY": "200", "REPLICATE_START_DELAY_MS": "0"}
    async with running_stack(env) as stack:
        await _burst(stack, scale.of(100, 2))
        rates, cpu = await _rates(stack, scale)
        calm = await _hops(stack, CALM, scale.of(80, 2))
        hops = await _hops(stack, PACE, scale.of(400, 5))
    holds = None if scale.quick else median(rates) >= BAR_A_SECOND
    lines = [
        Line("B9", "generations completed", "/s", rates, bar=f"≥ {BAR_A_SECOND}/s", holds=holds, note=NOTE)
    ]
    lines += [Line("B9", f"processor: {name}", "ms", [spent], note=CPU_NOTE) for name, spent in cpu.items()]
    lines += [_hop_line(scale, PACE, name, samples) for name, samples in hops.items()]
    return lines + [_hop_line(scale, CALM, name, samples) for name, samples in calm.items()]


async def _rates(stack: Stack, scale: Scale) -> tuple[list[float], dict[str, float]]:
    runs, size = scale.of(3, 1), scale.of(300, 3)
    before = stack.cpu_s()
    rates = [await _burst(stack, size) for _ in range(runs)]
    after = stack.cpu_s()
    spent = {name: (after[name] - before[name]) * 1000 / (runs * size) for name in SERVICES if name in after}
    return rates, {name: value for name, value in spent.items() if value > 0}


async def _burst(stack: Stack, size: int) -> float:
    """Generations a second, all requested at once."""
    ends = await stack.ends()
    begun = time.perf_counter()
    await all_ended(ends, await stack.generate_all(MODEL, size))
    took = time.perf_counter() - begun
    await ends.aclose()  # type: ignore[attr-defined]
    return size / took


async def _hops(stack: Stack, pace: int, count: int) -> dict[str, list[float]]:
    """Milliseconds from each step to the next, at so many generations a second."""
    start, ends = await stack.last_sequence(), await stack.ends()
    requested: dict[str, tuple[datetime, datetime]] = {}

    async def request(after_s: float) -> None:
        await asyncio.sleep(after_s)
        sent = datetime.now(UTC)
        generation = await stack.generate(MODEL)
        requested[generation] = (sent, datetime.now(UTC))

    await asyncio.gather(*(request(number / pace) for number in range(count)))
    await all_ended(ends, list(requested))
    await ends.aclose()  # type: ignore[attr-defined]
    predictions = (await stack.provider.get("/sandbox/predictions")).json()["predictions"]
    provider = {each["id"]: each for each in predictions}
    steps = _steps(await stack.events(start), provider)
    hops: dict[str, list[float]] = defaultdict(list)
    for generation, (sent, answered) in requested.items():
        hops["POST sent → answered"].append(_ms(sent, answered))
        for name, begun, ended in _pairs(sent, steps[generation]):
            hops[name].append(_ms(begun, ended))
    return hops


def _steps(
    events: Sequence[LoggedEvent], provider: dict[str, dict[str, str]]
) -> dict[str, dict[str, datetime]]:
    """By generation, when each of its steps was reached."""
    steps: dict[str, dict[str, datetime]] = defaultdict(dict)
    for logged in events:
        if generation := logged.event.refs.get("generation"):
            steps[generation].setdefault(logged.event.type, logged.stored)
            if logged.event.type == "prediction.succeeded":
                message = logged.event.message(PredictionSucceeded)
                record = provider[message.prediction.prediction_id]
                steps[generation]["created"] = datetime.fromisoformat(record["created_at"])
                steps[generation]["done"] = datetime.fromisoformat(record["completed_at"])
    return steps


def _pairs(sent: datetime, at: dict[str, datetime]) -> list[tuple[str, datetime, datetime]]:
    return [
        ("POST sent → generation.requested", sent, at["generation.requested"]),
        ("generation.requested → created at the provider", at["generation.requested"], at["created"]),
        ("(the provider's own time)", at["created"], at["done"]),
        ("done at the provider → prediction.succeeded", at["done"], at["prediction.succeeded"]),
        (
            "prediction.succeeded → download.completed",
            at["prediction.succeeded"],
            at["download.completed"],
        ),
        (
            "download.completed → generation.completed",
            at["download.completed"],
            at["generation.completed"],
        ),
        ("(all: POST sent → generation.completed)", sent, at["generation.completed"]),
    ]


def _hop_line(scale: Scale, pace: int, name: str, samples: list[float]) -> Line:
    judged = pace == PACE and not name.startswith("(")
    holds = median(samples) <= BAR_HOP_MS if judged and not scale.quick else None
    what = f"at {pace}/s: {name}; 95 % within {percentile(samples, 95):.0f} ms"
    return Line(
        "B9", what, "ms", samples, bar=f"≤ {BAR_HOP_MS} ms" if judged else "", holds=holds, note=HOPS_NOTE
    )


def _ms(begun: datetime, ended: datetime) -> float:
    return (ended - begun).total_seconds() * 1000
