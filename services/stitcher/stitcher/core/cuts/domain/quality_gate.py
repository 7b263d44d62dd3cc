"""The quality gate: compares what was measured on a finished cut with its edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stitcher.core.cuts.domain.edit import SAMPLE_RATE, Edit, Timeline
from stitcher.core.media.domain import FileFacts, VideoFacts

DURATION_TOLERANCE = 0.05
"""Seconds by which a cut may be longer or shorter than its edit."""
DRIFT_TOLERANCE = 0.1
"""Seconds by which sound and picture may differ in length: more is noticed as drift."""
SILENT_PEAK = 0.002
"""Highest sample below which a track is silent: -54 dBFS."""
_BLACK_LUMA, _FROZEN_STEPS = 24.0, 3
"""Mean luminance below which a frame is black, and steps of luminance by which equal frames may differ."""


def find_problems(
    edit: Edit,
    timeline: Timeline,
    cut: FileFacts,
    clips: Sequence[FileFacts] | None = None,
    *,
    audible: bool,
) -> list[str]:
    """Everything that is wrong with a cut, each in a sentence; empty when it may go out.

    Args:
        edit: what the cut should be.
        timeline: the same, in frames.
        cut: what was measured on the result.
        clips: what was measured on the clips, when known: of black or still ones the cut may be so too.
        audible: whether the cut must not be silent.
    """
    if cut.video is None:
        return ["the cut has no picture"]
    return [*_container(timeline, cut), *_picture(edit, timeline, cut.video, clips), *_sound(cut, audible)]


def _container(timeline: Timeline, cut: FileFacts) -> Iterator[str]:
    if "mp4" not in cut.container:
        yield f"the cut is {cut.container}, not MP4"
    elif not cut.faststart:
        yield "the cut's index stands after its data: a browser would fetch all of it before the first frame"
    if abs(cut.duration - timeline.duration) > DURATION_TOLERANCE:
        yield f"the cut lasts {cut.duration:.3f} s instead of {float(timeline.duration):.3f} s"


def _picture(
    edit: Edit, timeline: Timeline, video: VideoFacts, clips: Sequence[FileFacts] | None
) -> Iterator[str]:
    expected = {
        "codec": ("h264", video.codec),
        "pixel format": ("yuv420p", video.pixel_format),
        "size": (f"{edit.width}x{edit.height}", f"{video.width}x{video.height}"),
        "pixel shape": ("1", str(video.sar)),
        "rotation": ("0", str(video.rotation)),
        "frame rate": (str(timeline.rate), str(video.rate)),
        "number of frames": (str(timeline.total), str(video.frames)),
    }
    for name, (wanted, found) in expected.items():
        if wanted != found:
            yield f"the cut's {name} is {found} instead of {wanted}"
    if not video.constant_rate:
        yield "the cut's frames do not all last equally long"
    if clips is None or not video.sampled_frames:
        return
    of_clips = [frame for clip in clips if clip.video for frame in clip.video.sampled_frames]
    if is_black(video.sampled_frames) and not is_black(of_clips):
        yield "the cut is black although its clips are not"
    if is_frozen(video.sampled_frames) and not is_frozen(of_clips):
        yield "the cut stands still although its clips differ"


def _sound(cut: FileFacts, audible: bool) -> Iterator[str]:
    audio = cut.audio
    if audio is None or cut.audio_tracks != 1:
        yield f"the cut has {cut.audio_tracks} sound tracks instead of one"
        return
    if (audio.codec, audio.rate, audio.channels) != ("aac", SAMPLE_RATE, 2):
        found = f"{audio.codec} at {audio.rate} Hz with {audio.channels} channels"
        yield f"the cut's sound is {found} instead of aac at {SAMPLE_RATE} Hz with 2 channels"
    if cut.video is not None and abs(audio.duration - float(cut.video.duration)) > DRIFT_TOLERANCE:
        yield (
            f"the cut's sound lasts {audio.duration:.3f} s and its picture "
            f"{float(cut.video.duration):.3f} s: they have drifted apart"
        )
    if audible and audio.peak < SILENT_PEAK:
        yield "the cut is silent although its music or its clips sound"


def is_black(frames: Sequence[bytes]) -> bool:
    return all(sum(frame) / len(frame) < _BLACK_LUMA for frame in frames)


def is_frozen(frames: Sequence[bytes]) -> bool:
    """Whether there are at least two frames, and all are the same."""
    return len(frames) > 1 and all(
        max(abs(one - other) for one, other in zip(frames[0], frame, strict=True)) <= _FROZEN_STEPS
        for frame in frames[1:]
    )
