"""A job led through its life by hand: from a draft to the cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from catalog.core.jobs.domain import commands as jc
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import decide
from catalog.core.jobs.domain.evolve import evolve
from catalog.core.jobs.domain.model import Edit, Job, JobRequest, JobStatus, Music, Scene
from catalog.core.shared.domain import Error, Facts, MediaKind, RunSpec

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUN = RunSpec("replicate", "rushes/camera-move", "", MediaKind.VIDEO, {}, estimate_micros=1000)
SCENES = tuple(Scene(f"scn_{n}", n, f"scene {n}", 4.0, f"ast_{n}", "", "", RUN) for n in (1, 2))
MUSIC = Music(prompt="calm", model="m", run=RUN)
IDS, MUSIC_ID = ("gen_1", "gen_2"), "gen_3"
FACTS = Facts(MediaKind.VIDEO, "video/mp4", 99)
BAD = Error("E005", "refused")


class Life:
    def __init__(self, music: Music | None = MUSIC) -> None:
        self.state: Job | None = None
        self.told: list[je.JobEvent] = []
        self.music = music
        edit = Edit(640, 360, 25.0, music=music)
        self.do(jc.CreateJob(NOW, "job_1", "cmp_1", JobRequest(2, 4.0), edit))

    @property
    def now(self) -> Job:
        assert self.state is not None
        return self.state

    def do(self, command: jc.JobCommand) -> Sequence[je.JobEvent]:
        events = decide(self.state, command)
        for event in events:
            self.state = evolve(self.state, event)
        self.told += events
        return events

    def planned(self) -> Life:
        self.do(jc.PlanJob(NOW, SCENES, "deterministic", self.music))
        return self

    def approved(self) -> Life:
        self.planned().do(jc.ApproveJob(NOW, IDS, MUSIC_ID if self.music else ""))
        return self

    def stitching(self) -> Life:
        self.approved()
        for number in (1, 2, 3) if self.music else (1, 2):
            self.do(stored(number))
        assert self.now.status is JobStatus.STITCHING
        return self


def stored(number: int) -> jc.RecordRunStored:
    return jc.RecordRunStored(NOW, f"gen_{number}", f"med_{number}", f"media/gen_{number}/0.mp4")


def cut(version: int = 1) -> jc.RecordCut:
    return jc.RecordCut(NOW, version, "cut", "poster", FACTS, 4500)


def stitch_failed(version: int = 1, *, retryable: bool = True) -> jc.RecordStitchFailed:
    return jc.RecordStitchFailed(NOW, version, Error("black", "it is black", retryable))
