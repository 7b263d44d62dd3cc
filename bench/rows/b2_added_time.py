"""B2: from the provider's "done" to a clip that plays here, beside curl of the same file into the store."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bench.measure import Line, Scale
from bench.stack import FINAL_S, Stack, running_stack
from rushes.events.v1.events_pb2 import GenerationCompleted, PredictionSucceeded

BAR_MS = 150
NOTE = (
    "B2: the whole system by `rushes up`, idle but for this. From the provider's own `completed_at` to the "
    "first bytes of the clip answered by the gateway (`/api/v3/media/<id>`, a range), requested when "
    "`generation.completed` arrives: webhook, download, checks with decoding, store, records, gateway. "
    "There: the seconds that curl itself counts for a GET of the same address and a PUT into the same store, "
    "its start left out. Added is the one less the other."
)


@dataclass
class Samples:
    """Milliseconds, one entry a run."""

    playable: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def added(self) -> list[float]:
        return [whole - bare for whole, bare in zip(self.playable, self.bare, strict=True)]


async def measure(scale: Scale) -> list[Line]:
    env = {"REPLICATE_START_DELAY_MS": "0"}
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
        async with running_stack(env) as stack:
            scene = {"text": "Lake house", "duration": 4}
            instant = await _samples(stack, Path(folder), scale.of(25, 2), "rushes/instant", {})
            title = await _samples(stack, Path(folder), scale.of(7, 1), "rushes/title-card", scene)
    return [
        *_lines(scale, "instant clip, 1 s of 320x180", instant),
        *_lines(scale, "scene, 4 s of 1080p", title),
    ]


def _lines(scale: Scale, what: str, samples: Samples) -> list[Line]:
    holds = None if scale.quick else median(samples.added) <= BAR_MS
    peer = "curl, curl"
    return [
        Line("B2", f"{what}: done to playable", "ms", samples.playable, peer, samples.bare, note=NOTE),
        Line("B2", f"{what}: added", "ms", samples.added, bar=f"≤ {BAR_MS} ms", holds=holds, note=NOTE),
    ]


async def _samples(stack: Stack, folder: Path, runs: int, model: str, value: dict[str, object]) -> Samples:
    samples = Samples()
    await _one(stack, folder, model, value)  # not measured: models are fetched, decoders are loaded
    for _ in range(runs):
        playable, bare = await _one(stack, folder, model, value)
        samples.playable.append(playable)
        samples.bare.append(bare)
    return samples


async def _one(stack: Stack, folder: Path, model: str, value: dict[str, object]) -> tuple[float, float]:
    """Milliseconds until it plays, and those of the bare transfer right after."""
    ends = await stack.ends()
    outputs = await stack.log.tail(("prediction.succeeded.>",))
    generation = await stack.generate(model, **value)
    event = await asyncio.wait_for(anext(ends), FINAL_S)
    assert event.type == "generation.completed", event
    done = event.message(GenerationCompleted)
    assert done.generation_id == generation
    got = await stack.rest.get(f"/api/v3/media/{done.media_ids[0]}", headers={"Range": "bytes=0-65535"})
    plays = datetime.now(UTC)
    assert got.status_code == 206, got.text
    succeeded = (await anext(outputs)).message(PredictionSucceeded)
    for tail in (ends, outputs):
        await tail.aclose()  # type: ignore[attr-defined]
    prediction = (await stack.provider.get(f"/v1/predictions/{succeeded.prediction.prediction_id}")).json()
    took = (plays - datetime.fromisoformat(prediction["completed_at"])).total_seconds() * 1000
    return took, await _bare(stack, folder / "bare.mp4", succeeded.outputs[0].source_url)


async def _bare(stack: Stack, path: Path, url: str) -> float:
    """Milliseconds of a GET and a PUT by curl."""
    target = await _presigned(stack, f"bare/{time.time_ns()}.mp4")
    got = await _curl("--output", str(path), url)
    return (got + await _curl("--upload-file", str(path), target)) * 1000


async def _presigned(stack: Stack, key: str) -> str:
    """An address that takes a PUT of this key."""
    minio = stack.blobs._client.minio  # noqa: SLF001  # ours gives addresses for reading only
    return str(
        await asyncio.to_thread(minio.presigned_put_object, "rushes", key, expires=timedelta(minutes=5))
    )


async def _curl(*arguments: str) -> float:
    """Seconds of one transfer as curl counts them: from its start to its last byte."""
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--fail", "--write-out", "%{time_total}", *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    seconds, _ = await process.communicate()
    assert process.returncode == 0
    return float(seconds)
