"""Defines a model (owner, inputs, renderer, price) and the catalog that finds models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

JSON = dict[str, Any]
RendererKind = Literal["video", "title", "image", "music", "speech", "instant"]
OutputForm = Literal["one", "list", "object"]


@dataclass(frozen=True)
class Price:
    """In micro-dollars: by run, by second of output and by output file."""

    run: int = 0
    second: int = 0
    file: int = 0

    def amount(self, *, seconds: float, files: int) -> int:
        return self.run + round(self.second * seconds) + self.file * files


@dataclass(frozen=True)
class Model:
    """`boot_s` and `run_s` are the shortest times spent `starting` and `processing`, at `SANDBOX_SPEED` 1."""

    owner: str
    name: str
    kind: RendererKind
    description: str
    openapi: JSON | None
    official: bool = True
    versioned: bool = True
    form: OutputForm = "one"
    collections: tuple[str, ...] = ()
    price: Price = Price(run=10_000)
    boot_s: float = 0.2
    run_s: float = 0.5
    run_count: int = 0
    created_at: str = "2026-01-15T09:00:00.000000Z"

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def version(self) -> str:
        """The 64 hexadecimal digits of its one version; the same after a restart."""
        return hashlib.sha256(f"{self.full_name}:1".encode()).hexdigest()


@dataclass(frozen=True)
class Collection:
    slug: str
    name: str
    description: str


class ModelCatalog:
    def __init__(self, models: Iterable[Model], collections: Iterable[Collection]) -> None:
        self.models: Mapping[str, Model] = {m.full_name: m for m in models}
        self.collections: Mapping[str, Collection] = {c.slug: c for c in collections}
        self._versions = {m.version: m for m in self.models.values() if m.versioned}

    def model(self, full_name: str) -> Model | None:
        return self.models.get(full_name)

    def is_official(self, full_name: str) -> bool:
        return full_name in self.models and self.models[full_name].official

    def for_version(self, reference: str) -> Model | None:
        """`reference`: 64 hex digits, `owner/name:hex`, or the `owner/name` of an official model."""
        if by_name := self.models.get(reference):
            return by_name if by_name.official else None
        name, colon, version = reference.rpartition(":")
        found = self._versions.get(version)
        return found if found is not None and (not colon or found.full_name == name) else None

    def in_collection(self, slug: str) -> list[Model]:
        return _most_run_first(model for model in self.models.values() if slug in model.collections)

    def search(self, query: str) -> list[Model]:
        """Models with every word of the query in their name or description."""
        words = query.lower().split()
        return _most_run_first(
            model
            for model in self.models.values()
            if all(word in f"{model.full_name} {model.description}".lower() for word in words)
        )


def _most_run_first(models: Iterable[Model]) -> list[Model]:
    return sorted(models, key=lambda model: model.run_count, reverse=True)
