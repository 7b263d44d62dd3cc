"""The use case that makes a cut: fetches and joins the clips, checks and stores the result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from servicekit.concurrency import end
from servicekit.errors import FieldProblem, NotFound
from stitcher.core.cuts.domain.audio_filters import mix_levels, read_loudness
from stitcher.core.cuts.domain.edit import Edit, Timeline, refusal, validate
from stitcher.core.cuts.domain.ffmpeg_plan import CUT, Encoder, SourceFile, may_copy, plan_join, plan_tracks
from stitcher.core.cuts.domain.quality_gate import find_problems
from stitcher.core.cuts.ports import CutFailed, FFmpeg, MadeCut, ReportProgress
from stitcher.core.media.domain import FileFacts
from stitcher.core.media.ports import Blobs, Prober, ThumbnailRenderer, Unreadable, Workspace

CUT_THUMBNAIL_WIDTH = 1280
MIN_CLIP_SHARE = Fraction(3, 4)
_MAX_PARALLEL_FETCHES = 4


@dataclass(frozen=True)
class CutRequest:
    """A requested cut, where its clips and its music lie (by id), and where it is to be stored."""

    edit: Edit
    blob_keys: Mapping[str, str]
    cut_key: str
    thumbnail_key: str


@dataclass
class _CutLock:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


@dataclass(frozen=True, kw_only=True)
class MakeCut:
    """Makes cuts; the same cut requested twice at once is made once."""

    blobs: Blobs
    ffmpeg: FFmpeg
    prober: Prober
    thumbnails: ThumbnailRenderer
    workspace: Workspace
    encoder: Encoder
    _locks: dict[str, _CutLock] = field(init=False, default_factory=dict)

    async def run(self, request: CutRequest, report: ReportProgress) -> MadeCut:
        """Make the cut, or find it stored.

        Raises:
            Invalid: the edit cannot be made.
            NotFound: a clip or the music is not in the store.
            CutFailed: FFmpeg failed or the result is not right, twice; or a clip is broken.
            Unavailable: the store is away, or the disk full; nothing was done.
        """
        timeline = validate(request.edit)
        if problems := [*_missing_files(request)]:
            raise refusal(problems)
        async with self._exclusively(request.cut_key):
            stored = await self._find_stored(request, timeline)
            if stored is not None:
                return MadeCut(request.cut_key, request.thumbnail_key, stored, already_stored=True)
            try:
                facts = await self._make(request, timeline, report, allow_copy=True)
            except CutFailed as first:
                await report(0.0, f"trying again: {first.message}"[:300])
                facts = await self._make(request, timeline, report, allow_copy=False)
            return MadeCut(request.cut_key, request.thumbnail_key, facts, already_stored=False)

    @contextlib.asynccontextmanager
    async def _exclusively(self, key: str) -> AsyncIterator[None]:
        """The second of two requests for one cut (rounds may overlap) waits and finds what the first made."""
        entry = self._locks.setdefault(key, _CutLock())
        entry.users += 1
        try:
            async with entry.lock:
                yield
        finally:
            # Counted, because `lock.locked()` is false between one user's leaving and the next one's waking.
            entry.users -= 1
            if not entry.users:
                del self._locks[key]

    async def _find_stored(self, request: CutRequest, timeline: Timeline) -> FileFacts | None:
        """The facts of the stored cut, if it was made from this very edit and is right."""
        with contextlib.suppress(NotFound):
            stored = await self.blobs.stat(request.cut_key)
            if stored.metadata.get("edit") != request.edit.fingerprint():
                return None
            async with self.workspace.folder() as folder:
                await self.blobs.get_file(request.cut_key, folder / CUT)
                with contextlib.suppress(Unreadable, CutFailed):  # then it is made anew
                    facts = await self.prober.probe(folder / CUT, thoroughly=True)
                    audible = stored.metadata.get("sounds") == "yes"
                    if not find_problems(request.edit, timeline, facts, audible=audible):
                        await self._ensure_thumbnail(request, folder)
                        return facts
        return None

    async def _make(
        self, request: CutRequest, timeline: Timeline, report: ReportProgress, *, allow_copy: bool
    ) -> FileFacts:
        async with self.workspace.folder() as folder:
            clips, music = await self._fetch(request, folder, report)
            _require_length(request.edit, timeline, clips)
            audible = await self._join(
                request.edit, timeline, clips, music, folder, report, allow_copy=allow_copy
            )
            await report(99.0, "checking the cut")
            facts = await self._check(request.edit, timeline, clips, folder, audible=audible)
            stored = await self._find_stored(request, timeline)
            if stored is not None:  # by another replica meanwhile: what its event says must stay true
                return stored
            await self._store(request, facts, folder, audible=audible)
            return facts

    async def _fetch(
        self, request: CutRequest, folder: Path, report: ReportProgress
    ) -> tuple[list[SourceFile], SourceFile | None]:
        edit, blob_keys = request.edit, request.blob_keys
        await report(0.0, f"fetching {len(edit.clips)} clips")
        slots = asyncio.Semaphore(_MAX_PARALLEL_FETCHES)

        async def fetch(key: str, name: str, label: str) -> SourceFile:
            async with slots:
                try:
                    await self.blobs.get_file(key, folder / name)
                except NotFound as error:
                    raise NotFound(f"{label} is not in the store: {key}", code="not_found") from error
                try:
                    facts = await self.prober.probe(folder / name)
                except Unreadable as error:
                    code = label.split(maxsplit=1)[0]
                    raise CutFailed(code, f"{label} ({key}) cannot be used: {error}") from error
            return _require_tracks(SourceFile(name, facts), label, key)

        files = [
            (blob_keys[clip.media_id], f"clip-{index:03}", f"clip {index + 1}")
            for index, clip in enumerate(edit.clips)
        ]
        if edit.music is not None:
            files.append((blob_keys[edit.music.id], "music", "music"))
        tasks = [asyncio.create_task(fetch(*file)) for file in files]
        try:
            sources = await asyncio.gather(*tasks)
        finally:
            await end(*tasks)  # the folder is removed next
        count = len(edit.clips)
        return sources[:count], sources[count] if edit.music is not None else None

    async def _join(
        self,
        edit: Edit,
        timeline: Timeline,
        clips: list[SourceFile],
        music: SourceFile | None,
        folder: Path,
        report: ReportProgress,
        *,
        allow_copy: bool,
    ) -> bool:
        """Make the cut's file; returns whether it must be audible: a clip or the music is loud enough."""
        loudness: dict[str, float] = {}
        tracks = plan_tracks(edit, timeline, clips, music)
        if tracks is not None:
            await report(0.0, "listening to clips and music")
            loudness = read_loudness(await self.ffmpeg.run(tracks, folder))

        async def report_join(percent: float) -> None:
            await report(min(percent, 98.0), "joining clips")

        copy = allow_copy and may_copy(edit, timeline, clips)
        gain_db = edit.music.gain_db if edit.music else 0.0
        levels = mix_levels(loudness, gain_db, edit.loudness.integrated_lufs)
        command = plan_join(edit, timeline, clips, levels, self.encoder, copy=copy)
        await self.ffmpeg.run(command, folder, report_join)
        return levels.audible

    async def _check(
        self, edit: Edit, timeline: Timeline, clips: list[SourceFile], folder: Path, *, audible: bool
    ) -> FileFacts:
        try:
            facts = await self.prober.probe(folder / CUT, thoroughly=True)
        except Unreadable as error:
            raise CutFailed("check", f"the cut did not pass its check: {error}") from error
        problems = find_problems(edit, timeline, facts, [clip.facts for clip in clips], audible=audible)
        if problems:
            raise CutFailed("check", "the cut did not pass its check: " + "; ".join(problems))
        return facts

    async def _store(self, request: CutRequest, facts: FileFacts, folder: Path, *, audible: bool) -> None:
        """The thumbnail first: a stored cut means that all is done."""
        await self._store_thumbnail(request, folder)
        await self.blobs.put_file(
            request.cut_key,
            folder / CUT,
            content_type="video/mp4",
            metadata={
                "edit": request.edit.fingerprint(),
                "sha256": facts.sha256,
                "sounds": "yes" if audible else "no",
            },
        )

    async def _ensure_thumbnail(self, request: CutRequest, folder: Path) -> None:
        try:
            await self.blobs.stat(request.thumbnail_key)
        except NotFound:
            await self._store_thumbnail(request, folder)

    async def _store_thumbnail(self, request: CutRequest, folder: Path) -> None:
        try:
            thumbnail = await self.thumbnails.of_video(
                folder / CUT, width=CUT_THUMBNAIL_WIDTH, content_type="image/jpeg"
            )
        except Unreadable as error:
            raise CutFailed("check", f"no thumbnail can be made of the cut: {error}") from error
        await self.blobs.put(request.thumbnail_key, thumbnail, content_type="image/jpeg")


def _missing_files(request: CutRequest) -> Iterator[FieldProblem]:
    edit = request.edit
    files = {f"edit.clips[{index}].media_id": clip.media_id for index, clip in enumerate(edit.clips)}
    if edit.music is not None:
        files["edit.music"] = edit.music.id
    for path, id_ in files.items():
        if id_ not in request.blob_keys:
            message = f"blob_keys does not tell where {id_} lies" if id_ else "nothing is stored for it yet"
            yield FieldProblem(path, message)


def _require_length(edit: Edit, timeline: Timeline, clips: Sequence[SourceFile]) -> None:
    """A clip a little short holds its last frame; one that lacks a quarter would visibly stand still."""
    for index, (clip, source) in enumerate(zip(edit.clips, clips, strict=True)):
        duration = source.facts.video.duration if source.facts.video else Fraction(0)
        available = duration - Fraction(clip.in_seconds)
        wanted = timeline.seconds(timeline.frames[index])
        if available < wanted * MIN_CLIP_SHARE:
            begin = f" after the first {clip.in_seconds:g} s" if clip.in_seconds else ""
            raise CutFailed(
                "clip",
                f"clip {index + 1} lasts {float(available):.2f} s of the {float(wanted):.2f} s used of it"
                f"{begin}; render its scene again, or use less of it",
            )


def _require_tracks(source: SourceFile, label: str, key: str) -> SourceFile:
    if label == "music" and source.facts.audio is None:
        raise CutFailed("music", f"music ({key}) has no sound; choose another file")
    if label != "music" and (source.facts.video is None or not source.facts.video.frames):
        raise CutFailed("clip", f"{label} ({key}) has no moving picture; render its scene again")
    return source
