"""What the model catalog needs of the provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


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
