"""What the use cases on generations need: their repository, and the generator before anything is paid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from catalog.core.generations.domain.events import GenerationEvent
from catalog.core.generations.domain.model import Attempt, Generation, LostOutput, Media, Status
from catalog.core.shared.domain import MediaKind, RunSpec
from catalog.core.shared.paging import Page, PageRequest


@dataclass(frozen=True)
class GenerationFilter:
    """Which generations; empty or None: any."""

    kind: MediaKind | None = None
    status: Status | None = None
    model: str = ""
    campaign_id: str = ""
    job_id: str = ""


class Generations(Protocol):
    """The generations with attempts and outputs, stored as the fold of their events."""

    async def get(self, generation_id: str, *, lock: bool = False, deleted: bool = False) -> Generation:
        """One; `lock`: nobody else changes it before this unit of work ends.

        NotFound; for a deleted one too, unless `deleted`.
        """
        ...

    async def job_of(self, generation_id: str) -> str:
        """The job it belongs to, or ""; NotFound."""
        ...

    async def save(self, before: Generation | None, events: Sequence[GenerationEvent]) -> Generation:
        """Save what has happened to it: in rows, accounts, journal and outbox.

        Conflict: the prediction is another attempt's, or the row has changed since `before` was read.
        """
        ...

    async def page(self, paging: PageRequest, only: GenerationFilter) -> Page[Generation]: ...

    async def of_jobs(self, *job_ids: str, lock: bool = False) -> Sequence[Generation]:
        """All of these jobs, oldest first; deleted ones too, for what they have cost."""
        ...

    async def of_attempt(self, attempt_id: str) -> str:
        """The generation an attempt belongs to; NotFound."""
        ...

    async def of_prediction(self, prediction_id: str) -> tuple[str, Attempt] | None:
        """The generation and the attempt that own a prediction."""
        ...

    async def stalled(
        self, at: datetime, limit: int = 1, *, only: str = "", without: Collection[str] = ()
    ) -> Sequence[str]:
        """Those with no event for too long by then, the longest first; `only` that one, none of `without`."""
        ...

    async def traceparents(
        self, generation_ids: Sequence[str], *, job_ids: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """The trace contexts in which these, and the generations of these jobs, were requested first.

        By the ids of generations and jobs; those of which none is known are left out.
        """
        ...

    async def to_requeue(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        """Those whose lost outputs are to be requested again by then; not the ones in `without`."""
        ...

    async def lost(self, paging: PageRequest) -> Page[LostOutput]:
        """The retry queue, newest first."""
        ...

    async def media(self, media_id: str) -> Media:
        """A stored output; NotFound."""
        ...


class Generator(Protocol):
    """The generator, before anything is paid."""

    async def prepare(self, model: str, version: str, input: Mapping[str, Any]) -> RunSpec:  # noqa: A002  # the contract's word
        """Check an input; Invalid names what is wrong."""
        ...
