"""Which model is meant when nobody names one: the settings', else ours where it exists, else a public one."""

from __future__ import annotations

from dataclasses import dataclass

from generator.core.models.model_catalog import Shelf


@dataclass(frozen=True)
class Choice:
    """`chosen` by the operator (empty for none); `own` is there at the sandbox; `public` at the provider."""

    chosen: str
    own: str
    public: str


class StandardModels:
    """The standard models of this deployment."""

    def __init__(self, shelf: Shelf, *, scene: str = "", pair: str = "", music: str = "") -> None:
        self._shelf = shelf
        self._scene = Choice(scene, "rushes/camera-move", "google/veo-3-fast")
        self._pair = Choice(pair, "rushes/first-last", "kwaivgi/kling-v2.1")
        self._music = Choice(music, "rushes/music-bed", "meta/musicgen")

    async def scene(self) -> str:
        """For a scene from one photo."""
        return await self._resolve(self._scene)

    async def pair(self) -> str:
        """For a scene from a first to a last photo."""
        return await self._resolve(self._pair)

    async def music(self) -> str:
        """For the music of a cut."""
        return await self._resolve(self._music)

    async def _resolve(self, choice: Choice) -> str:
        if choice.chosen:
            return choice.chosen
        return choice.own if await self._shelf.has(choice.own) else choice.public
