"""Stored outputs and cuts as files that take room: counted, listed, located, and cleaned up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from catalog.core.shared.domain import MediaKind


@dataclass(frozen=True)
class Usage:
    """How many files, and their bytes."""

    count: int = 0
    size_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.count + other.count, self.size_bytes + other.size_bytes)


UsageByKind = Mapping[MediaKind, Usage]


@dataclass(frozen=True)
class DownloadCounts:
    """Outputs: stored, given up, requested again (how often), and given up and expired since."""

    completed: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0


@dataclass(frozen=True)
class StoredFile:
    """A stored output (`media_id`) or a cut (`version` of its job)."""

    kind: MediaKind
    size_bytes: int
    sha256: str
    created_at: datetime
    media_id: str = ""
    generation_id: str = ""
    job_id: str = ""
    version: int = 0


@dataclass(frozen=True)
class StoredObject:
    """Where a blob is and what it is; size 0 and no hash where only the blob store knows them."""

    blob_key: str
    content_type: str
    modified_at: datetime
    filename: str
    size_bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class CleanUpCandidate:
    """A generation that ended at a time, or (without a `generation_id`) a job that did and has cuts."""

    ended_at: datetime
    job_id: str
    generation_id: str = ""


@dataclass(frozen=True)
class CleanUpTotals:
    """What a clean-up would delete: generations, and the files of these and of jobs."""

    generations: int = 0
    by_kind: UsageByKind = field(default_factory=dict)


def add_usage(some: UsageByKind, more: UsageByKind) -> UsageByKind:
    kinds = {*some, *more}
    return {kind: some.get(kind, Usage()) + more.get(kind, Usage()) for kind in kinds}
