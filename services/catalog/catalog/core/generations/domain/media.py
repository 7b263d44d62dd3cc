"""Outputs as they are read by themselves: one that is stored, and one that is lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.shared.domain import GONE, Error, Facts


@dataclass(frozen=True)
class Media:
    """A stored output."""

    id: str
    generation_id: str
    job_id: str
    index: int
    blob_key: str
    facts: Facts
    created_at: datetime
    model: str = ""


@dataclass(frozen=True)
class LostOutput:
    """A paid output that is not stored here."""

    generation_id: str
    job_id: str
    index: int
    model: str
    error: Error
    failed_at: datetime
    expires_at: datetime | None

    def may_live(self, at: datetime) -> bool:
        """Whether its address may still lead to it: it has not expired, and did not answer "gone"."""
        return self.error.code != GONE and self.expires_at is not None and self.expires_at > at
