"""A job led through its life by hand, from a draft to the cut, as its generations and the stitcher would."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import (
    Decision,
    approve_job,
    create_job,
    record_cut,
    record_generation_stored,
    record_plan,
    record_stitch_failed,
)
from catalog.core.jobs.domain.evolve import fold
from catalog.core.jobs.domain.model import Edit, Job, JobRequest, JobStatus, Music, Scene
from catalog.core.shared.domain import Error, Facts, MediaKind, RunSpec

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUN = RunSpec("replicate", "rushes/camera-move", "", MediaKind.VIDEO, {}, estimate_micros=1000)
SCENES = tuple(Scene(f"scn_{n}", n, f"scene {n}", 4.0, f"ast_{n}", "", "", RUN) for n in (1, 2))
MUSIC = Music(prompt="calm", model="m", run=RUN)
IDS, MUSIC_ID = ("gen_1", "gen_2"), "gen_3"
FACTS = Facts(MediaKind.VIDEO, "video/mp4", 99)
REFUSED = Error("E005", "refused")


class JobScenario:
    """A job, changed only by decisions and `evolve`.

    Attributes:
        history: every event so far.
    """

    def __init__(self, music: Music | None = MUSIC) -> None:
        self.state: Job | None = None
        self.history: list[je.JobEvent] = []
        self.music = music
        edit = Edit(640, 360, 25.0, music=music)
        self._save(create_job(NOW, "job_1", "cmp_1", JobRequest(2, 4.0), edit))

    @property
    def now(self) -> Job:
        assert self.state is not None
        return self.state

    def do(self, decision: Decision, at: datetime = NOW) -> je.Events:
        return self._save(decision(self.now, at))

    def _save(self, events: je.Events) -> je.Events:
        self.state = fold(self.state, events)
        self.history += events
        return events

    def planned(self) -> JobScenario:
        self.do(partial(record_plan, scenes=SCENES, planner="deterministic", music=self.music))
        return self

    def approved(self) -> JobScenario:
        self.planned().do(approved(music_id=MUSIC_ID if self.music else ""))
        return self

    def stitching(self) -> JobScenario:
        self.approved()
        for number in (1, 2, 3) if self.music else (1, 2):
            self.do(stored(number))
        assert self.now.status is JobStatus.STITCHING
        return self


def approved(music_id: str = MUSIC_ID) -> Decision:
    return partial(approve_job, generation_ids=IDS, music_generation_id=music_id)


def stored(number: int) -> Decision:
    return partial(
        record_generation_stored,
        generation_id=f"gen_{number}",
        media_id=f"med_{number}",
        blob_key=f"media/gen_{number}/0.mp4",
    )


def cut(version: int = 1) -> Decision:
    return partial(
        record_cut, version=version, cut_key="cut", thumbnail_key="thumb", facts=FACTS, cost_micros=4500
    )


def stitch_failed(version: int = 1, *, retryable: bool = True) -> Decision:
    return partial(record_stitch_failed, version=version, error=Error("black", "it is black", retryable))
