"""Chooses the model where nobody names one: the operator's, else ours where it exists, else a public one."""

from __future__ import annotations

from dataclasses import dataclass

from generator.core.models.model_catalog import ModelCatalog


@dataclass(frozen=True)
class ModelChoice:
    """`configured` by the operator, empty for none; `own` exists at the sandbox, `public` at the provider."""

    configured: str
    own: str
    public: str


class DefaultModels:
    """The default models of this deployment."""

    def __init__(self, catalog: ModelCatalog, *, scene: str = "", pair: str = "", music: str = "") -> None:
        self._catalog = catalog
        self._scene = ModelChoice(scene, "rushes/camera-move", "google/veo-3-fast")
        self._pair = ModelChoice(pair, "rushes/first-last", "kwaivgi/kling-v2.1")
        self._music = ModelChoice(music, "rushes/music-bed", "meta/musicgen")

    async def scene(self) -> str:
        """For a scene from one photo."""
        return await self._resolve(self._scene)

    async def pair(self) -> str:
        """For a scene from a first to a last photo."""
        return await self._resolve(self._pair)

    async def music(self) -> str:
        """For the music of a cut."""
        return await self._resolve(self._music)

    async def _resolve(self, choice: ModelChoice) -> str:
        if choice.configured:
            return choice.configured
        return choice.own if await self._catalog.has(choice.own) else choice.public
