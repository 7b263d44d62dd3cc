"""The use case: fetch the clips, make the cut, check it, store it; or find that it is there already."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from servicekit.errors import NotFound
from stitcher.core.edit import Edit, Timeline, validate
from stitcher.core.facts import FileFacts
from stitcher.core.plan import CUT, Encoder, Source, may_copy, plan_join, plan_tracks
from stitcher.core.ports import Blobs, CutFailed, FFmpeg, Posters, Prober, Report, Unreadable, Workspace
from stitcher.core.quality import problems
from stitcher.core.sound import levels, read_loudness

POSTER_WIDTH = 1280
LEAST_OF_CLIP = Fraction(3, 4)
_FETCHES = 4
"""Clips fetched at once."""


@dataclass(frozen=True)
class Order:
    """A cut that is asked for, and where it and its poster belong."""

    edit: Edit
    cut_key: str
    poster_key: str


@dataclass(frozen=True)
class Made:
    """A stored, checked cut; `again` when it was found and not made now."""

    facts: FileFacts
    again: bool


@dataclass
class _Turns:
    """Who asks for one and the same cut takes turns."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asking: int = 0


class MakeCut:
    """Makes cuts; the same cut asked for twice at once is made once."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        ffmpeg: FFmpeg,
        prober: Prober,
        posters: Posters,
        workspace: Workspace,
        encoder: Encoder,
    ) -> None:
        self._blobs = blobs
        self._ffmpeg = ffmpeg
        self._prober = prober
        self._posters = posters
        self._workspace = workspace
        self._encoder = encoder
        self._under_way: dict[str, _Turns] = {}

    async def run(self, order: Order, report: Report) -> Made:
        """Make the cut, or find it made.

        Raises:
            Invalid: the edit cannot be made.
            NotFound: a clip or the music is not in the store.
            CutFailed: FFmpeg failed or the result is not right, twice; or a clip is broken.
            Unavailable: the store is away, or the disk full; nothing was done.
        """
        line = validate(order.edit)
        async with self._alone(order.cut_key):
            found = await self._find(order, line)
            if found is not None:
                return Made(found, again=True)
            try:
                return Made(await self._make(order, line, report, copying=True), again=False)
            except CutFailed as first:
                await report(0.0, f"trying again: {first.message}"[:300])
                return Made(await self._make(order, line, report, copying=False), again=False)

    @contextlib.asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Asked twice at once (a silent round), the second waits and finds what the first has made."""
        turns = self._under_way.setdefault(key, _Turns())
        turns.asking += 1
        try:
            async with turns.lock:
                yield
        finally:
            turns.asking -= 1  # not `lock.locked()`: false between one's leaving and the next one's waking
            if not turns.asking:
                del self._under_way[key]

    async def _find(self, order: Order, line: Timeline) -> FileFacts | None:
        """The cut that is stored already, if it is of this very edit and right; its poster is made good."""
        with contextlib.suppress(NotFound):
            stored = await self._blobs.stat(order.cut_key)
            if stored.metadata.get("edit") != order.edit.fingerprint():
                return None
            async with self._workspace.folder() as folder:
                await self._blobs.get_file(order.cut_key, folder / CUT)
                with contextlib.suppress(Unreadable, CutFailed):  # then it is made anew
                    facts = await self._prober.probe(folder / CUT, thoroughly=True)
                    sounds = stored.metadata.get("sounds") == "yes"
                    if not problems(order.edit, line, facts, sounds=sounds):
                        await self._ensure_poster(order, folder)
                        return facts
        return None

    async def _make(self, order: Order, line: Timeline, report: Report, *, copying: bool) -> FileFacts:
        async with self._workspace.folder() as folder:
            clips, music = await self._fetch(order.edit, folder, report)
            _long_enough(line, clips)
            sounds = await self._join(order.edit, line, clips, music, folder, report, copying=copying)
            await report(99.0, "checking the cut")
            facts = await self._checked(order.edit, line, clips, folder, sounds=sounds)
            found = await self._find(order, line)
            if found is not None:  # another replica was given it too: what it has said must stay true
                return found
            await self._store(order, facts, folder, sounds=sounds)
            return facts

    async def _fetch(self, edit: Edit, folder: Path, report: Report) -> tuple[list[Source], Source | None]:
        await report(0.0, f"fetching {len(edit.clips)} clips")
        gate = asyncio.Semaphore(_FETCHES)

        async def one(key: str, name: str, what: str) -> Source:
            async with gate:
                try:
                    await self._blobs.get_file(key, folder / name)
                except NotFound as error:
                    raise NotFound(f"{what} is not in the store: {key}", code="not_found") from error
                try:
                    facts = await self._prober.probe(folder / name)
                except Unreadable as error:
                    raise CutFailed(
                        what.split(maxsplit=1)[0], f"{what} ({key}) cannot be used: {error}"
                    ) from error
            return _usable(Source(name, facts), what, key)

        wanted = [
            (clip.blob_key, f"clip-{index:03}", f"clip {index + 1}") for index, clip in enumerate(edit.clips)
        ]
        if edit.music is not None:
            wanted.append((edit.music.blob_key, "music", "music"))
        tasks = [asyncio.create_task(one(*want)) for want in wanted]
        try:
            sources = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # the folder goes away next
        count = len(edit.clips)
        return sources[:count], sources[count] if edit.music is not None else None

    async def _join(
        self,
        edit: Edit,
        line: Timeline,
        clips: list[Source],
        music: Source | None,
        folder: Path,
        report: Report,
        *,
        copying: bool,
    ) -> bool:
        """Join them; whether the cut must be heard: a clip or the music is loud enough to be kept."""
        loudness: dict[str, float] = {}
        tracks = plan_tracks(line, clips, music)
        if tracks is not None:
            await report(0.0, "listening to clips and music")
            loudness = read_loudness(await self._ffmpeg.run(tracks, folder))

        async def joined(percent: float) -> None:
            await report(min(percent, 98.0), "joining clips")

        copy = copying and may_copy(edit, line, clips)
        gains = levels(loudness, edit.music.gain_db if edit.music else 0.0)
        await self._ffmpeg.run(plan_join(edit, line, clips, gains, self._encoder, copy=copy), folder, joined)
        return gains.audible

    async def _checked(
        self, edit: Edit, line: Timeline, clips: list[Source], folder: Path, *, sounds: bool
    ) -> FileFacts:
        try:
            facts = await self._prober.probe(folder / CUT, thoroughly=True)
        except Unreadable as error:
            raise CutFailed("check", f"the cut did not pass its check: {error}") from error
        wrong = problems(edit, line, facts, [clip.facts for clip in clips], sounds=sounds)
        if wrong:
            raise CutFailed("check", "the cut did not pass its check: " + "; ".join(wrong))
        return facts

    async def _store(self, order: Order, facts: FileFacts, folder: Path, *, sounds: bool) -> None:
        """The poster first: a stored cut means that all is done."""
        await self._store_poster(order, folder)
        await self._blobs.put_file(
            order.cut_key,
            folder / CUT,
            content_type="video/mp4",
            metadata={
                "edit": order.edit.fingerprint(),
                "sha256": facts.sha256,
                "sounds": "yes" if sounds else "no",
            },
        )

    async def _ensure_poster(self, order: Order, folder: Path) -> None:
        try:
            await self._blobs.stat(order.poster_key)
        except NotFound:
            await self._store_poster(order, folder)

    async def _store_poster(self, order: Order, folder: Path) -> None:
        try:
            poster = await self._posters.of_video(folder / CUT, width=POSTER_WIDTH, content_type="image/jpeg")
        except Unreadable as error:
            raise CutFailed("check", f"no poster can be made of the cut: {error}") from error
        await self._blobs.put(order.poster_key, poster, content_type="image/jpeg")


def _long_enough(line: Timeline, clips: Sequence[Source]) -> None:
    """A clip a little short holds its last frame; one that lacks a quarter would visibly stand still."""
    for index, (clip, frames) in enumerate(zip(clips, line.frames, strict=True)):
        lasts = clip.facts.video.duration if clip.facts.video else 0
        wanted = line.seconds(frames)
        if lasts < wanted * LEAST_OF_CLIP:
            raise CutFailed(
                "clip",
                f"clip {index + 1} lasts {float(lasts):.2f} s of the {float(wanted):.2f} s used of it; "
                "render its scene again, or use less of it",
            )


def _usable(source: Source, what: str, key: str) -> Source:
    if what == "music" and source.facts.audio is None:
        raise CutFailed("music", f"music ({key}) has no sound; choose another file")
    if what != "music" and (source.facts.video is None or not source.facts.video.frames):
        raise CutFailed("clip", f"{what} ({key}) has no moving picture; render its scene again")
    return source
