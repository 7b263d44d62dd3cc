"""What the provider offers, remembered: fresh for a while, stale while it is away, fetched once at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind, NotFound

from . import kinds
from .kinds import Kind
from .ports import Collection, Library, Model
from .schema import Parameter, parameters

T = TypeVar("T")

_AWAY = (
    ErrorKind.UNAVAILABLE,
    ErrorKind.TIMEOUT,
    ErrorKind.LIMITED,
    ErrorKind.UNAUTHENTICATED,
    ErrorKind.FORBIDDEN,
)
_AT_ONCE = 3
_KEYS = 5_000


@dataclass(frozen=True)
class Known(Generic[T]):
    """A value; `stale` when the provider was away and this is what was known before."""

    value: T
    stale: bool = False


@dataclass
class _Kept:
    value: Any
    until: float


class Memory:
    """Values by key, each fetched by one caller at a time and kept for `ttl` seconds."""

    def __init__(self, clock: Clock, *, ttl: float) -> None:
        self._clock = clock
        self._ttl = ttl
        self._kept: dict[Hashable, _Kept] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> Known[T]:
        """The value; what was known before when the provider is away, and its error when nothing was."""
        if len(self._locks) > _KEYS:  # names are the callers': what was never found must not pile up
            self._locks = {
                each: lock for each, lock in self._locks.items() if lock.locked() or each in self._kept
            }
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            now = self._clock.monotonic()
            if kept is not None and now < kept.until:
                return Known(kept.value)
            try:
                value = await fetch()
            except AppError as error:
                if kept is None or error.kind not in _AWAY:
                    self._kept.pop(key, None)
                    raise
                kept.until = min(kept.until, now)  # stays stale; asked again at the next call
                return Known(kept.value, stale=True)
            self._kept[key] = _Kept(value, now + self._ttl)
            return Known(value)

    def peek(self, key: Hashable) -> Any:
        """What is remembered, however old; None when nothing is."""
        kept = self._kept.get(key)
        return kept.value if kept else None


@dataclass(frozen=True)
class Listed:
    """A model with what its collections tell of it."""

    model: Model
    collections: tuple[str, ...]
    kind: Kind


class Shelf:
    """The provider's models and collections."""

    def __init__(self, library: Library, clock: Clock, *, ttl: float = 300.0) -> None:
        self._library = library
        self._memory = Memory(clock, ttl=ttl)

    async def collections(self) -> Known[list[Collection]]:
        """The provider's collections."""
        return await self._memory.get("collections", self._library.collections)

    async def models(self, collection: str = "") -> Known[list[Listed]]:
        """The models of one collection, or of all that make media; most run first."""
        known = await self.collections()
        slugs = [each.slug for each in known.value]
        if collection and collection not in slugs:
            raise NotFound(
                f"the provider has no collection {collection!r}; it has {', '.join(slugs) or 'none'}"
            )
        wanted = [collection] if collection else [slug for slug in slugs if kinds.makes_media(slug)]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def read(slug: str) -> Known[list[Model]]:
            async with gate:
                return await self._memory.get(("collection", slug), lambda: self._light(slug))

        groups = await asyncio.gather(*(read(slug) for slug in wanted))
        merged: dict[str, tuple[Model, list[str]]] = {}
        for slug, group in zip(wanted, groups, strict=True):
            for model in group.value:
                merged.setdefault(model.full_name, (model, []))[1].append(slug)
        listed = [self._listed(model, slugs) for model, slugs in merged.values()]
        listed.sort(key=lambda each: (-each.model.run_count, each.model.full_name))
        return Known(listed, stale=known.stale or any(group.stale for group in groups))

    async def model(self, owner: str, name: str) -> Listed:
        """One model, with its schema.

        Raises:
            NotFound: the provider has none of that name.
        """

        async def fetch() -> Model:
            try:
                return await self._library.model(owner, name)
            except NotFound as error:
                raise NotFound(
                    f"the provider has no model {owner}/{name}; find one with GET /api/v3/models?q={name}"
                ) from error

        known = await self._memory.get(("model", owner, name), fetch)
        return self._listed(known.value, self._slugs_of(known.value.full_name))

    async def parameters(self, owner: str, name: str, version: str = "") -> tuple[Parameter, ...] | None:
        """The parameters of a model, or of one of its versions; None when it publishes no schema.

        Raises:
            NotFound: no such model, or the version is not one of its versions.
        """
        model = (await self.model(owner, name)).model
        if not version or version == model.version:
            return parameters(model.openapi)
        known = await self._memory.get(
            ("version", owner, name, version), lambda: self._library.version(owner, name, version)
        )
        return parameters(known.value)

    async def has(self, full_name: str) -> bool:
        """Whether the provider has a model; False also while it cannot be asked."""
        owner, _, name = full_name.partition("/")
        try:
            await self.model(owner, name)
        except AppError:
            return False
        return True

    async def _light(self, slug: str) -> list[Model]:
        """Without the schemas: collections are heavy (1 MB and more), and the list needs none."""
        return [replace(model, openapi=None) for model in await self._library.models_in(slug)]

    def _slugs_of(self, full_name: str) -> list[str]:
        """The collections of a model, as far as they have been read."""
        slugs = [each.slug for each in self._memory.peek("collections") or ()]
        return [
            slug
            for slug in slugs
            if any(model.full_name == full_name for model in self._memory.peek(("collection", slug)) or ())
        ]

    def _listed(self, model: Model, slugs: list[str]) -> Listed:
        return Listed(model, tuple(slugs), kind_of(model, slugs))


def kind_of(model: Model, slugs: list[str]) -> Kind:
    """What a model makes: by its example's file, else by its collections, else by its words."""
    for told in (
        kinds.of_example(model.example),
        kinds.of_collections(slugs),
        kinds.of_words(model.name, model.description),
    ):
        if told is not Kind.UNKNOWN:
            return told
    return Kind.UNKNOWN
