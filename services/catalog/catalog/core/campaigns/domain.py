"""The records that people edit: clients, campaigns and assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from catalog.core.shared.domain import Facts


@dataclass(frozen=True)
class Client:
    """A brand."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    brand_guidelines: str | None = None
    metadata: Mapping[str, Any] | None = None
    revision: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Campaign:
    """A piece of advertising work. `spent_micros` and `reserved_micros` are read from its account."""

    id: str
    client_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    brief: str | None = None
    budget_cents: int | None = None
    metadata: Mapping[str, Any] | None = None
    revision: int = field(default=0, compare=False)
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
    revision: int = field(default=0, compare=False)
