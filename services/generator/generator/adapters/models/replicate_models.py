"""Reads Replicate's collections, models and versions over HTTP, tolerantly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from generator.adapters.replicate_client import ReplicateClient
from generator.core.models.model_catalog import Collection, Model
from servicekit.errors import Unavailable

_MOST_PAGES = 20


class ReplicateModels:
    """A `ModelSource` that speaks Replicate's API (docs/provider.md)."""

    def __init__(self, client: ReplicateClient) -> None:
        self._client = client

    async def collections(self) -> list[Collection]:
        found: list[Collection] = []
        path = "/v1/collections"
        for _ in range(_MOST_PAGES):
            page = await self._client.read(path)
            if not isinstance(page, Mapping) or not isinstance(page.get("results"), list):
                raise Unavailable("the provider's list of collections cannot be read")
            found += [
                Collection(_text(raw, "slug"), _text(raw, "name"), _text(raw, "description"))
                for raw in page["results"]
                if isinstance(raw, Mapping) and _text(raw, "slug")
            ]
            following = page.get("next")
            if not isinstance(following, str) or following in ("", "null"):
                break
            path = following
        return found

    async def models_in(self, slug: str) -> list[Model]:
        page = await self._client.read(f"/v1/collections/{quote(slug, safe='')}")
        raw = page.get("models") if isinstance(page, Mapping) else None
        return [model for each in raw or () if (model := _model(each)) is not None]

    async def model(self, owner: str, name: str) -> Model:
        found = _model(await self._client.read(_path(owner, name)))
        if found is None:
            raise Unavailable(f"the provider's answer for model {owner}/{name} is none")
        return found

    async def version_schema(self, owner: str, name: str, version: str) -> Any:
        raw = await self._client.read(f"{_path(owner, name)}/versions/{quote(version, safe='')}")
        return raw.get("openapi_schema") if isinstance(raw, Mapping) else None


def _path(owner: str, name: str) -> str:
    return f"/v1/models/{quote(owner, safe='')}/{quote(name, safe='')}"


def _model(raw: Any) -> Model | None:
    """A model from the provider's JSON; None when it has no owner or name."""
    if not isinstance(raw, Mapping) or not _text(raw, "owner") or not _text(raw, "name"):
        return None
    latest = raw.get("latest_version")
    version: Mapping[str, Any] = latest if isinstance(latest, Mapping) else {}
    example = raw.get("default_example")
    runs = raw.get("run_count")
    return Model(
        owner=_text(raw, "owner"),
        name=_text(raw, "name"),
        description=_text(raw, "description"),
        cover_image_url=_text(raw, "cover_image_url"),
        run_count=runs if isinstance(runs, int) else 0,
        official=raw.get("is_official") is True,
        version=_text(version, "id"),
        example=example.get("output") if isinstance(example, Mapping) else None,
        openapi=version.get("openapi_schema"),
    )


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
