"""The stored outputs and cuts as files that take room: what is asked of the tables about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from catalog.core.shared.records import Page
from catalog.core.shared.values import MediaKind


@dataclass(frozen=True)
class Usage:
    """How many files, and their bytes."""

    count: int = 0
    size_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.count + other.count, self.size_bytes + other.size_bytes)


@dataclass(frozen=True)
class DownloadCounts:
    """Outputs stored, given up, asked for again (times), and gone at the provider (of those given up)."""

    completed: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0


@dataclass(frozen=True)
class File:
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
class Old:
    """A generation that has ended, or (without one) a job whose cuts are old. `at`: when that ended."""

    at: datetime
    job_id: str
    generation_id: str = ""


@dataclass(frozen=True)
class Aged:
    """Everything that is old enough, in numbers."""

    generations: int = 0
    by_kind: Mapping[MediaKind, Usage] = field(default_factory=dict)


class Files(Protocol):
    """What the tables know of stored outputs and cuts; deleted ones are never told of."""

    async def usage(self) -> Mapping[MediaKind, Usage]:
        """What the files take, by kind; cuts are videos."""
        ...

    async def downloads(self, at: datetime) -> DownloadCounts:
        """How outputs came here; what the provider had until `at` is lost."""
        ...

    async def page(self, size: int, token: str) -> Page[File]:
        """Newest first."""
        ...

    async def old_generations(self, before: datetime, after: Old | None, limit: int) -> Sequence[Old]:
        """Generations that ended before then, as did their job; oldest first, beginning after one."""
        ...

    async def old_jobs(self, before: datetime, after: Old | None, limit: int) -> Sequence[Old]:
        """Jobs with cuts that ended before then; oldest first, beginning after one."""
        ...

    async def aged(self, before: datetime) -> Aged:
        """What `old_generations` and `old_jobs` come to."""
        ...
