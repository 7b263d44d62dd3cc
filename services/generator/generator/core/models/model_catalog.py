"""Answers what the provider offers: its collections, its models, and what they take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from generator.core.models.domain.media_kinds import (
    MediaKind,
    kind_of_collections,
    kind_of_example,
    kind_of_words,
    lists_media_models,
)
from generator.core.models.domain.model_schema import Parameter, read_parameters
from generator.core.models.ports import Collection, Model, ModelSource
from generator.core.models.provider_cache import Cached, ProviderCache
from servicekit.clock import Clock
from servicekit.errors import AppError, NotFound

_COLLECTIONS_AT_ONCE = 3
"""Collections that are read at the same time: they are heavy."""

_MODELS_CACHED = 200
"""Models and versions: callers choose the names, and each has a schema of some 50 kB."""

_COLLECTIONS_CACHED = 1_000
"""As many as the provider has."""


@dataclass(frozen=True)
class ListedModel:
    """A model with what its collections say about it."""

    model: Model
    collections: tuple[str, ...]
    kind: MediaKind


class ModelCatalog:
    """The provider's models and collections. A `Part`: stop ends what is being read."""

    def __init__(self, source: ModelSource, clock: Clock, *, ttl: float = 300.0) -> None:
        self._source = source
        self._models = ProviderCache(clock, ttl=ttl, size=_MODELS_CACHED)
        self._collections = ProviderCache(clock, ttl=ttl, size=_COLLECTIONS_CACHED)
        self._reading_collections = asyncio.Semaphore(_COLLECTIONS_AT_ONCE)

    async def start(self) -> None:
        """Nothing is read before it is needed."""

    async def stop(self) -> None:
        await self._models.stop()
        await self._collections.stop()

    async def collections(self) -> Cached[list[Collection]]:
        return await self._collections.get("collections", self._source.collections)

    async def models(self, collection: str = "") -> Cached[list[ListedModel]]:
        """The models of one collection, or of all that make media; most run first.

        A collection that cannot be read is left out, and the list is stale.

        Raises:
            AppError: no collection can be read.
        """
        collections = await self.collections()
        slugs = [each.slug for each in collections.value]
        if collection and collection not in slugs:
            raise NotFound(
                f"the provider has no collection {collection!r}; it has {', '.join(slugs) or 'none'}"
            )
        wanted = [collection] if collection else [slug for slug in slugs if lists_media_models(slug)]
        groups = await asyncio.gather(*(self._models_in(slug) for slug in wanted))
        read = [group for group in groups if isinstance(group, Cached)]
        missing = [group for group in groups if isinstance(group, AppError)]
        if missing and not read:
            raise missing[0]
        merged: dict[str, tuple[Model, list[str]]] = {}
        for slug, group in zip(wanted, groups, strict=True):
            for model in group.value if isinstance(group, Cached) else ():
                merged.setdefault(model.full_name, (model, []))[1].append(slug)
        listed = [self._listed(model, slugs) for model, slugs in merged.values()]
        listed.sort(key=lambda each: (-each.model.run_count, each.model.full_name))
        return Cached(listed, stale=collections.stale or bool(missing) or any(group.stale for group in read))

    async def model(self, owner: str, name: str) -> ListedModel:
        """One model, with its schema.

        Raises:
            NotFound: the provider has none of that name.
        """

        async def fetch() -> Model:
            try:
                return await self._source.model(owner, name)
            except NotFound as error:
                raise NotFound(
                    f"the provider has no model {owner}/{name}; find one with GET /api/v3/models?q={name}"
                ) from error

        cached = await self._models.get(("model", owner, name), fetch)
        return self._listed(cached.value, self._slugs_of(cached.value.full_name))

    async def parameters(self, owner: str, name: str, version: str = "") -> tuple[Parameter, ...] | None:
        """The parameters of a model, or of one of its versions; None when it publishes no schema.

        Raises:
            NotFound: no such model, or the version is not one of its versions.
        """
        model = (await self.model(owner, name)).model
        if not version or version == model.version:
            return read_parameters(model.openapi)
        cached = await self._models.get(
            ("version", owner, name, version), lambda: self._source.version_schema(owner, name, version)
        )
        return read_parameters(cached.value)

    async def has(self, full_name: str) -> bool:
        """Whether the provider has a model.

        Raises:
            AppError: the provider cannot be reached; a guess would buy a run of another model.
        """
        owner, _, name = full_name.partition("/")
        try:
            await self.model(owner, name)
        except NotFound:
            return False
        return True

    async def _models_in(self, slug: str) -> Cached[list[Model]] | AppError:
        """The models of a collection, or why it cannot be read: others can be."""
        try:
            return await self._collections.get(("collection", slug), lambda: self._fetch_models_in(slug))
        except AppError as error:
            return error

    async def _fetch_models_in(self, slug: str) -> list[Model]:
        """Without their schemas: a collection has 1 MB and more with them, and no list needs them."""
        async with self._reading_collections:
            return [replace(model, openapi=None) for model in await self._source.models_in(slug)]

    def _slugs_of(self, full_name: str) -> list[str]:
        """The collections of a model, as far as they have been read."""
        slugs = [each.slug for each in self._collections.peek("collections") or ()]
        return [
            slug
            for slug in slugs
            if any(
                model.full_name == full_name for model in self._collections.peek(("collection", slug)) or ()
            )
        ]

    def _listed(self, model: Model, slugs: list[str]) -> ListedModel:
        return ListedModel(model, tuple(slugs), model_kind(model, slugs))


def model_kind(model: Model, slugs: list[str]) -> MediaKind:
    """What a model makes: by its example's file, else by its collections, else by its words."""
    for kind in (
        kind_of_example(model.example),
        kind_of_collections(slugs),
        kind_of_words(model.name, model.description),
    ):
        if kind is not MediaKind.UNKNOWN:
            return kind
    return MediaKind.UNKNOWN
