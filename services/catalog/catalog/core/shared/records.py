"""The records that are kept as they are given: clients, campaigns, assets, keys, media; and pages of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from catalog.core.shared.values import GONE, Error, Facts

T = TypeVar("T")

PAGE = 50
"""Items on a page when nobody says."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, newest first, and the token for the next page (empty on the last one)."""

    items: tuple[T, ...]
    next_token: str = ""


@dataclass(frozen=True)
class Client:
    """A brand."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    brand_guidelines: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Campaign:
    """A piece of advertising work; `spent_micros` and `reserved_micros` are filled in from its account."""

    id: str
    client_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    brief: str | None = None
    budget_cents: int | None = None
    metadata: Mapping[str, Any] | None = None
    spent_micros: int = 0
    reserved_micros: int = 0


@dataclass(frozen=True)
class Asset:
    """A file that somebody uploaded."""

    id: str
    client_id: str
    name: str
    filename: str
    blob_key: str
    facts: Facts
    created_at: datetime
    updated_at: datetime
    campaign_id: str = ""
    description: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None


class Scope(StrEnum):
    """What a key may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """A key without the key itself: only its SHA-256 is kept."""

    id: str
    name: str
    prefix: str
    sha256: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


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


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened to a job."""

    at: datetime
    type: str
    message: str


@dataclass(frozen=True)
class StoredObject:
    """Where bytes lie and what they are; size 0 and no hash where only the store knows them."""

    blob_key: str
    content_type: str
    modified_at: datetime
    filename: str
    size_bytes: int = 0
    sha256: str = ""
