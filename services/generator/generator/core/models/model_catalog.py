"""Answers what the provider offers: its collections, its models, and what they take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from generator.core.models.domain import model_schema as schema
from generator.core.models.domain.media_kinds import (
    MediaKind,
    kind_of_collections,
    kind_of_example,
    lists_media_models,
)
from generator.core.models.domain.model_schema import Parameter
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
class Collection:
    """A group of models, made by the provider."""

    slug: str
    name: str
    description: str


@dataclass(frozen=True)
class Model:
    """Something that the provider can run.

    Args:
        example: the output of the model's example run; None when it has none.
        openapi: its schema as published; None when it publishes none.
    """

    owner: str
    name: str
    description: str = ""
    cover_image_url: str = ""
    run_count: int = 0
    official: bool = False
    version: str = ""
    example: Any = None
    openapi: Any = None

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


class ModelSource(Protocol):
    """What the provider offers. NotFound where a name is unknown; Unavailable while it is away."""

    async def collections(self) -> list[Collection]: ...

    async def models_in(self, slug: str) -> list[Model]:
        """The models of a collection."""
        ...

    async def model(self, owner: str, name: str) -> Model: ...

    async def version_schema(self, owner: str, name: str, version: str) -> Any:
        """The `openapi_schema` of one version of a model; None when it has none."""
        ...


@dataclass(frozen=True)
class ListedModel:
    """A model with what its collections say about it."""

    model: Model
    collections: tuple[str, ...]
    kind: MediaKind


@dataclass
class _ReadCollections:
    """The models of some collections; `errors`: by slug, why a collection could not be read."""

    models: dict[str, Model] = field(default_factory=dict)
    slugs: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, AppError] = field(default_factory=dict)
    stale: bool = False

    def kind_of(self, model: Model) -> MediaKind | None:
        """What a model makes; None when a collection decides that could not be read."""
        if (kind := kind_of_example(model.example)) is not MediaKind.UNKNOWN:
            return kind
        slugs = self.slugs.get(model.full_name, [])
        kind = kind_of_collections(slugs)
        decided = all(kind_of_collections([*slugs, unread]) is kind for unread in self.errors)
        return kind if decided else None


class ModelCatalog:
    """The provider's models and collections. A `Part`: stop ends what is being read.

    No answer depends on what happens to be cached: what it needs is read, or the answer is an error.
    """

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

        A collection that cannot be read is left out, and the list is stale; likewise when it would show what
        one of the models makes.

        Raises:
            AppError: no collection can be read.
        """
        collections = await self.collections()
        slugs = [each.slug for each in collections.value]
        if collection and collection not in slugs:
            raise NotFound(
                f"the provider has no collection {collection!r}; it has {', '.join(slugs) or 'none'}"
            )
        media_slugs = [slug for slug in slugs if lists_media_models(slug)]
        wanted = [collection] if collection else media_slugs
        read = await self._read(wanted)
        if wanted and len(read.errors) == len(wanted):
            raise next(iter(read.errors.values()))
        kinds = read
        if collection and any(
            kind_of_example(each.example) is MediaKind.UNKNOWN for each in read.models.values()
        ):  # one collection alone does not show what these make
            kinds = await self._read(media_slugs)
        decided = {name: kinds.kind_of(model) for name, model in read.models.items()}
        listed = [
            ListedModel(model, tuple(read.slugs[name]), decided[name] or MediaKind.UNKNOWN)
            for name, model in read.models.items()
        ]
        listed.sort(key=lambda each: (-each.model.run_count, each.model.full_name))
        stale = collections.stale or read.stale or bool(read.errors) or None in decided.values()
        return Cached(listed, stale=stale)

    async def model(self, owner: str, name: str) -> Model:
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

        return (await self._models.get(("model", owner, name), fetch)).value

    async def listed_model(self, owner: str, name: str) -> ListedModel:
        """One model, with its schema and its collections; those that cannot be read are left out.

        Raises:
            NotFound: the provider has none of that name.
        """
        model = await self.model(owner, name)
        read = await self._read_media_collections()
        slugs = tuple(read.slugs.get(model.full_name, ()))
        return ListedModel(model, slugs, read.kind_of(model) or MediaKind.UNKNOWN)

    async def kind_of(self, model: Model) -> MediaKind:
        """What a model makes: what its example's file is, else what its collections are for.

        UNKNOWN where neither says: a guess from its name and description would refuse what it can do.

        Raises:
            AppError: a collection that decides cannot be read now.
        """
        if (kind := kind_of_example(model.example)) is not MediaKind.UNKNOWN:
            return kind
        read = await self._read_media_collections()
        decided = read.kind_of(model)
        if decided is None:
            raise next(iter(read.errors.values()))
        return decided

    async def parameters(self, owner: str, name: str, version: str = "") -> tuple[Parameter, ...] | None:
        """The parameters of a model, or of one of its versions; None when it publishes no schema.

        Raises:
            NotFound: no such model, or the version is not one of its versions.
        """
        return schema.read_parameters(await self._openapi(owner, name, version))

    async def output_schema(self, owner: str, name: str, version: str = "") -> schema.OutputSchema | None:
        """What a model's output is, or that of one of its versions; errors as those of `parameters`."""
        return schema.read_output_schema(await self._openapi(owner, name, version))

    async def _openapi(self, owner: str, name: str, version: str) -> Any:
        model = await self.model(owner, name)
        if not version or version == model.version:
            return model.openapi
        cached = await self._models.get(
            ("version", owner, name, version), lambda: self._source.version_schema(owner, name, version)
        )
        return cached.value

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

    async def _read_media_collections(self) -> _ReadCollections:
        slugs = [each.slug for each in (await self.collections()).value]
        return await self._read([slug for slug in slugs if lists_media_models(slug)])

    async def _read(self, slugs: Sequence[str]) -> _ReadCollections:
        """The models of these collections; one that cannot be read does not keep the others."""
        groups = await asyncio.gather(*map(self._models_in, slugs), return_exceptions=True)
        read = _ReadCollections()
        for slug, group in zip(slugs, groups, strict=True):
            if isinstance(group, AppError):
                read.errors[slug] = group
                continue
            if isinstance(group, BaseException):
                raise group
            read.stale = read.stale or group.stale
            for model in group.value:
                read.models.setdefault(model.full_name, model)
                read.slugs.setdefault(model.full_name, []).append(slug)
        return read

    async def _models_in(self, slug: str) -> Cached[list[Model]]:
        async def fetch() -> list[Model]:
            # Without their schemas: a collection has 1 MB and more with them, and no list needs them.
            async with self._reading_collections:
                return [replace(model, openapi=None) for model in await self._source.models_in(slug)]

        return await self._collections.get(("collection", slug), fetch)


class DefaultModels:
    """The models where nobody names one: the operator's, else ours where it exists, else a public one."""

    def __init__(self, catalog: ModelCatalog, *, scene: str = "", pair: str = "", music: str = "") -> None:
        self._catalog = catalog
        self._scene, self._pair, self._music = scene, pair, music

    async def scene(self) -> str:
        """For a scene from one photo."""
        return self._scene or await self._choose("rushes/camera-move", "google/veo-3-fast")

    async def pair(self) -> str:
        """For a scene from a first to a last photo."""
        return self._pair or await self._choose("rushes/first-last", "kwaivgi/kling-v2.1")

    async def music(self) -> str:
        """For the music of a cut."""
        return self._music or await self._choose("rushes/music-bed", "meta/musicgen")

    async def _choose(self, own: str, public: str) -> str:
        """`own` exists at the sandbox alone."""
        return own if await self._catalog.has(own) else public
