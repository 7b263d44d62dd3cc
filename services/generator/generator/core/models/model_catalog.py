"""What the provider offers: its collections, its models, and what they take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from generator.core.models.domain import media_kinds
from generator.core.models.domain.media_kinds import Kind
from generator.core.models.domain.model_schema import Parameter, parameters
from generator.core.models.provider_cache import Known, Memory
from generator.core.runs.ports import Collection, Library, Model
from servicekit.clock import Clock
from servicekit.errors import AppError, NotFound

_AT_ONCE = 3
"""Collections that are read at the same time: they are heavy."""

_MODELS = 200
"""Models and versions that are remembered: names are the callers', and each has a schema of some 50 kB."""

_LISTS = 1_000
"""Collections that are remembered: as many as the provider has."""


@dataclass(frozen=True)
class Listed:
    """A model with what its collections tell of it."""

    model: Model
    collections: tuple[str, ...]
    kind: Kind


class Shelf:
    """The provider's models and collections. A `Part`: stop ends what is being read."""

    def __init__(self, library: Library, clock: Clock, *, ttl: float = 300.0) -> None:
        self._library = library
        self._models = Memory(clock, ttl=ttl, most=_MODELS)
        self._lists = Memory(clock, ttl=ttl, most=_LISTS)
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Nothing is read before somebody asks."""

    async def stop(self) -> None:
        """End what is being read."""
        await self._models.stop()
        await self._lists.stop()

    async def collections(self) -> Known[list[Collection]]:
        """The provider's collections."""
        return await self._lists.get("collections", self._library.collections)

    async def models(self, collection: str = "") -> Known[list[Listed]]:
        """The models of one collection, or of all that make media; most run first.

        A collection that cannot be read is left out, and the list is stale.

        Raises:
            AppError: no collection can be read.
        """
        known = await self.collections()
        slugs = [each.slug for each in known.value]
        if collection and collection not in slugs:
            raise NotFound(
                f"the provider has no collection {collection!r}; it has {', '.join(slugs) or 'none'}"
            )
        wanted = [collection] if collection else [slug for slug in slugs if media_kinds.makes_media(slug)]
        groups = await asyncio.gather(*(self._group(slug) for slug in wanted))
        read = [group for group in groups if isinstance(group, Known)]
        missing = [group for group in groups if isinstance(group, AppError)]
        if missing and not read:
            raise missing[0]
        merged: dict[str, tuple[Model, list[str]]] = {}
        for slug, group in zip(wanted, groups, strict=True):
            for model in group.value if isinstance(group, Known) else ():
                merged.setdefault(model.full_name, (model, []))[1].append(slug)
        listed = [self._listed(model, slugs) for model, slugs in merged.values()]
        listed.sort(key=lambda each: (-each.model.run_count, each.model.full_name))
        return Known(listed, stale=known.stale or bool(missing) or any(group.stale for group in read))

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

        known = await self._models.get(("model", owner, name), fetch)
        return self._listed(known.value, self._slugs_of(known.value.full_name))

    async def parameters(self, owner: str, name: str, version: str = "") -> tuple[Parameter, ...] | None:
        """The parameters of a model, or of one of its versions; None when it publishes no schema.

        Raises:
            NotFound: no such model, or the version is not one of its versions.
        """
        model = (await self.model(owner, name)).model
        if not version or version == model.version:
            return parameters(model.openapi)
        known = await self._models.get(
            ("version", owner, name, version), lambda: self._library.version(owner, name, version)
        )
        return parameters(known.value)

    async def has(self, full_name: str) -> bool:
        """Whether the provider has a model.

        Raises:
            AppError: the provider cannot be asked: nobody knows, and a guess would buy another model.
        """
        owner, _, name = full_name.partition("/")
        try:
            await self.model(owner, name)
        except NotFound:
            return False
        return True

    async def _group(self, slug: str) -> Known[list[Model]] | AppError:
        """The models of a collection, or why it cannot be read: others can be."""
        try:
            return await self._lists.get(("collection", slug), lambda: self._light(slug))
        except AppError as error:
            return error

    async def _light(self, slug: str) -> list[Model]:
        """Without the schemas: collections are heavy (1 MB and more), and the list needs none."""
        async with self._gate:
            return [replace(model, openapi=None) for model in await self._library.models_in(slug)]

    def _slugs_of(self, full_name: str) -> list[str]:
        """The collections of a model, as far as they have been read."""
        slugs = [each.slug for each in self._lists.peek("collections") or ()]
        return [
            slug
            for slug in slugs
            if any(model.full_name == full_name for model in self._lists.peek(("collection", slug)) or ())
        ]

    def _listed(self, model: Model, slugs: list[str]) -> Listed:
        return Listed(model, tuple(slugs), kind_of(model, slugs))


def kind_of(model: Model, slugs: list[str]) -> Kind:
    """What a model makes: by its example's file, else by its collections, else by its words."""
    for told in (
        media_kinds.of_example(model.example),
        media_kinds.of_collections(slugs),
        media_kinds.of_words(model.name, model.description),
    ):
        if told is not Kind.UNKNOWN:
            return told
    return Kind.UNKNOWN
