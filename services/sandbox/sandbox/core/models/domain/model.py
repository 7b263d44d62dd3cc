"""What a model is to this server: who owns it, what it takes, which renderer runs it and what a run costs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

JSON = dict[str, Any]
Kind = Literal["video", "title", "image", "music", "speech", "instant", "text"]
Form = Literal["one", "list", "object"]


@dataclass(frozen=True)
class Price:
    """Micro-dollars by run, by second of output and by output file."""

    run: int = 0
    second: int = 0
    file: int = 0

    def amount(self, *, seconds: float, files: int) -> int:
        """The charge for one run, in micro-dollars."""
        return self.run + round(self.second * seconds) + self.file * files


@dataclass(frozen=True)
class Model:
    """One model of the catalogue.

    `boot_s` and `run_s` are the shortest times spent `starting` and `processing`, before `SANDBOX_SPEED`.
    """

    owner: str
    name: str
    kind: Kind
    description: str
    openapi: JSON | None
    official: bool = True
    versioned: bool = True
    form: Form = "one"
    collections: tuple[str, ...] = ()
    price: Price = Price(run=10_000)
    boot_s: float = 0.2
    run_s: float = 0.5
    run_count: int = 0
    created_at: str = "2026-01-15T09:00:00.000000Z"

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    @property
    def version(self) -> str:
        """The 64 hexadecimal digits of its one version; stable over restarts."""
        return hashlib.sha256(f"{self.full_name}:1".encode()).hexdigest()


@dataclass(frozen=True)
class Collection:
    """A shelf of models."""

    slug: str
    name: str
    description: str


class Catalogue:
    """Every model and collection that this server knows."""

    def __init__(self, models: Iterable[Model], collections: Iterable[Collection]) -> None:
        self.models: Mapping[str, Model] = {m.full_name: m for m in models}
        self.collections: Mapping[str, Collection] = {c.slug: c for c in collections}
        self._versions = {m.version: m for m in self.models.values() if m.versioned}

    def model(self, full_name: str) -> Model | None:
        """The model `owner/name`, if there is one."""
        return self.models.get(full_name)

    def for_version(self, reference: str) -> Model | None:
        """What `version` in a create means: 64 hex digits, `owner/name:hex`, or official `owner/name`."""
        name, colon, version = reference.rpartition(":")
        if not colon:
            by_name = self.models.get(reference)
            if by_name is not None:
                return by_name if by_name.official else None
            return self._versions.get(reference)
        found = self._versions.get(version)
        return found if found is not None and found.full_name == name else None

    def shelf(self, slug: str) -> list[Model]:
        """The models of a collection, most run first."""
        return sorted((m for m in self.models.values() if slug in m.collections), key=lambda m: -m.run_count)

    def search(self, query: str) -> list[Model]:
        """Models whose name or description holds every word of the query, most run first."""
        words = query.lower().split()
        hits = [
            m
            for m in self.models.values()
            if all(w in f"{m.full_name} {m.description}".lower() for w in words)
        ]
        return sorted(hits, key=lambda m: -m.run_count)
