"""The quality gate: whether what was measured on a finished cut is what the edit asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stitcher.core.edit import SAMPLE_RATE, Edit, Timeline
from stitcher.core.facts import FileFacts, VideoFacts

DURATION_WITHIN = 0.05
"""Seconds a cut may be longer or shorter than its edit."""
DRIFT_WITHIN = 0.1
"""Seconds sound and picture may differ in length: more is heard as drift."""
SILENT_PEAK = 0.002
"""A sound whose highest sample is below -54 dBFS is silent."""
_BLACK, _SAME = 24.0, 3
"""Mean luminance below which a picture is black, and steps by which equal pictures may differ."""


def problems(
    edit: Edit,
    line: Timeline,
    cut: FileFacts,
    clips: Sequence[FileFacts] | None = None,
    *,
    sounds: bool,
) -> list[str]:
    """Everything that is wrong with a cut, each in a sentence; empty when it may go out.

    Args:
        edit: what was asked for.
        line: the same, in frames.
        cut: what was measured on the result.
        clips: what was measured on the clips, when known: black or still ones may make a cut that is.
        sounds: whether something must be heard.
    """
    if cut.video is None:
        return ["the cut has no picture"]
    return [*_container(line, cut), *_picture(edit, line, cut.video, clips), *_sound(cut, sounds)]


def _container(line: Timeline, cut: FileFacts) -> Iterator[str]:
    if "mp4" not in cut.container:
        yield f"the cut is {cut.container}, not MP4"
    elif not cut.faststart:
        yield "the cut's index stands after its data: a browser would fetch all of it before the first frame"
    if abs(cut.duration - line.duration) > DURATION_WITHIN:
        yield f"the cut lasts {cut.duration:.3f} s instead of {float(line.duration):.3f} s"


def _picture(
    edit: Edit, line: Timeline, video: VideoFacts, clips: Sequence[FileFacts] | None
) -> Iterator[str]:
    expected = {
        "codec": ("h264", video.codec),
        "pixel format": ("yuv420p", video.pixel_format),
        "size": (f"{edit.width}x{edit.height}", f"{video.width}x{video.height}"),
        "pixel shape": ("1", str(video.sar)),
        "rotation": ("0", str(video.rotation)),
        "frame rate": (str(line.rate), str(video.rate)),
        "number of frames": (str(line.total), str(video.frames)),
    }
    for name, (wanted, found) in expected.items():
        if wanted != found:
            yield f"the cut's {name} is {found} instead of {wanted}"
    if not video.constant_rate:
        yield "the cut's frames do not all last equally long"
    if clips is None or not video.pictures:
        return
    shown = [picture for clip in clips if clip.video for picture in clip.video.pictures]
    if is_black(video.pictures) and not is_black(shown):
        yield "the cut is black although its clips are not"
    if is_frozen(video.pictures) and not is_frozen(shown):
        yield "the cut stands still although its clips differ"


def _sound(cut: FileFacts, sounds: bool) -> Iterator[str]:
    audio = cut.audio
    if audio is None or cut.audio_tracks != 1:
        yield f"the cut has {cut.audio_tracks} sound tracks instead of one"
        return
    if (audio.codec, audio.rate, audio.channels) != ("aac", SAMPLE_RATE, 2):
        found = f"{audio.codec} at {audio.rate} Hz with {audio.channels} channels"
        yield f"the cut's sound is {found} instead of aac at {SAMPLE_RATE} Hz with 2 channels"
    if cut.video is not None and abs(audio.duration - float(cut.video.duration)) > DRIFT_WITHIN:
        yield (
            f"the cut's sound lasts {audio.duration:.3f} s and its picture "
            f"{float(cut.video.duration):.3f} s: they have drifted apart"
        )
    if sounds and audio.peak < SILENT_PEAK:
        yield "the cut is silent although its music or its clips sound"


def is_black(pictures: Sequence[bytes]) -> bool:
    """Whether every one of the pictures is black."""
    return all(sum(picture) / len(picture) < _BLACK for picture in pictures)


def is_frozen(pictures: Sequence[bytes]) -> bool:
    """Whether all of at least two pictures are the same."""
    return len(pictures) > 1 and all(
        max(abs(one - other) for one, other in zip(pictures[0], picture, strict=True)) <= _SAME
        for picture in pictures[1:]
    )
