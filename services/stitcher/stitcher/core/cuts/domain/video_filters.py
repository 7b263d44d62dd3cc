"""The filters for the picture: every clip is brought to one shape and rate, then they are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from stitcher.core.cuts.domain.edit import Edit, Timeline
from stitcher.core.media.domain import VideoFacts

MAX_CROP_RATIO = Fraction(112, 100)
"""Up to this ratio of the aspects the fit `auto` fills the frame, and at most a ninth of one side is lost.
Nobody misses that, while bars a few pixels wide look like a mistake. Beyond it (portrait in landscape) a crop
would remove what the shot is about, so the whole clip is shown over a blurred, darker copy."""

_BACKDROP_SCALE = 8
"""The blurred backdrop is made at an eighth of the size: the blur hides it, and it costs 1/64."""


def video_chains(videos: Sequence[VideoFacts], edit: Edit, timeline: Timeline) -> list[str]:
    """Chains from `[0:v:0]`, `[1:v:0]`, … to `[picture]`: `timeline.total` frames at `timeline.rate`."""
    chains: list[str] = []
    for index, video in enumerate(videos):
        chains += _clip_chains(index, video, edit, timeline)
    return [*chains, *_join_chains(edit, timeline)]


def microseconds(seconds: Fraction) -> int:
    """The finest unit in which FFmpeg reads times."""
    return round(seconds * 1_000_000)


def _clip_chains(index: int, video: VideoFacts, edit: Edit, timeline: Timeline) -> list[str]:
    """Chains that turn the used stretch of a clip into `[v<index>]`, in the size and rate of the cut."""
    rate, first = timeline.rate, timeline.skipped[index]
    drops_frames = video.rate > rate  # then first, so that fewer frames are scaled
    before = ["setpts=PTS-STARTPTS", *([f"fps={rate}"] if drops_frames else [])]
    after = [
        "setsar=1",
        "format=yuv420p",
        *([] if drops_frames else [f"fps={rate}"]),
        "tpad=stop=-1:stop_mode=clone",  # a clip that is too short holds its last frame
        f"trim=start_frame={first}:end_frame={first + timeline.frames[index]}",
        *(["setpts=PTS-STARTPTS"] if first else []),
        f"settb={1 / rate}",
    ]
    head, tail = f"[{index}:v:0]{','.join(before)},", f",{','.join(after)}[v{index}]"
    return FITS[edit.clips[index].fit](head, video, (edit.width, edit.height), tail)


def _join_chains(edit: Edit, timeline: Timeline) -> list[str]:
    """Chains from `[v0]`, `[v1]`, … to `[picture]`, tagged as BT.709 in studio range."""
    chains: list[str] = []
    joined = ""
    for run in timeline.runs:
        label = f"[v{run[0]}]"
        if len(run) > 1:
            inputs = "".join(f"[v{index}]" for index in run)
            label = f"[r{run[0]}]"
            chains.append(f"{inputs}concat=n={len(run)}:v=1:a=0,settb={1 / timeline.rate}{label}")
        if joined and (blend := edit.joints[run[0] - 1].blend):
            duration = microseconds(timeline.seconds(timeline.overlaps[run[0] - 1]))
            offset = microseconds(timeline.seconds(timeline.starts[run[0]]))
            chains.append(
                f"{joined}{label}xfade={blend.picture}:duration={duration}us:offset={offset}us[x{run[0]}]"
            )
            label = f"[x{run[0]}]"
        joined = label
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,format=yuv420p"
    return [*chains, f"{joined}{tags}[picture]"]


def _auto(head: str, video: VideoFacts, frame: tuple[int, int], tail: str) -> list[str]:
    wide, high = video.display_size
    ratio = (wide / high) / Fraction(*frame)
    fit = _crop if max(ratio, 1 / ratio) <= MAX_CROP_RATIO else _blur
    return fit(head, video, frame, tail)


def _crop(head: str, video: VideoFacts, frame: tuple[int, int], tail: str) -> list[str]:
    return [f"{head}{_covering(video, frame)}{tail}"]


def _blur(head: str, video: VideoFacts, frame: tuple[int, int], tail: str) -> list[str]:
    name = tail[tail.rindex("[") + 1 : -1]  # unique in the graph, so the labels made of it are
    width, height = frame
    small = (max(2, width // _BACKDROP_SCALE & ~1), max(2, height // _BACKDROP_SCALE & ~1))
    whole = fit_size(video, frame)
    left, top = (width - whole[0]) // 2, (height - whole[1]) // 2
    backdrop = (
        f"{_covering(video, small)},format=yuv420p,gblur=sigma=6,"
        f"lutyuv=y=(val-16)*0.6+16,scale={width}:{height}:flags=bilinear,setsar=1"
    )
    return [
        f"{head}split=2[{name}s][{name}b]",
        f"[{name}b]{backdrop}[{name}f]",
        f"[{name}s]{_scale(video, whole)},setsar=1,format=yuv420p[{name}w]",
        f"[{name}f][{name}w]overlay={left}:{top}:eof_action=endall:format=yuv420{tail}",
    ]


def _bars(head: str, video: VideoFacts, frame: tuple[int, int], tail: str) -> list[str]:
    width, height = frame
    whole = _scale(video, fit_size(video, frame))
    return [f"{head}{whole},format=yuv420p,pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black{tail}"]


FITS: Mapping[str, Callable[[str, VideoFacts, tuple[int, int], str], list[str]]] = {
    "auto": _auto,
    "crop": _crop,
    "blur": _blur,
    "bars": _bars,
}
"""By the value of `Fit` in rushes/edit/v1/edit.proto: the chains of one clip, from a head to a tail."""


def cover_size(video: VideoFacts, frame: tuple[int, int]) -> tuple[int, int]:
    """The smallest even size of the clip's own shape that covers the frame."""
    wide, high = video.display_size
    factor = max(frame[0] / wide, frame[1] / high)
    return max(frame[0], _even(wide * factor)), max(frame[1], _even(high * factor))


def fit_size(video: VideoFacts, frame: tuple[int, int]) -> tuple[int, int]:
    """The largest even size of the clip's own shape that fits into the frame."""
    wide, high = video.display_size
    factor = min(frame[0] / wide, frame[1] / high)
    return min(frame[0], max(2, _even(wide * factor))), min(frame[1], max(2, _even(high * factor)))


def _covering(video: VideoFacts, frame: tuple[int, int]) -> str:
    size = cover_size(video, frame)
    scaled = _scale(video, size)
    return scaled if size == frame else f"{scaled},crop={frame[0]}:{frame[1]}"


def _scale(video: VideoFacts, size: tuple[int, int]) -> str:
    """Scale into BT.709 studio range; untagged material is read by the convention of its size."""
    source = "auto" if video.matrix else ("bt709" if min(video.width, video.height) >= 720 else "smpte170m")
    width, height = size
    return (
        f"scale={width}:{height}:flags=bicubic:in_color_matrix={source}:out_color_matrix=bt709:out_range=tv"
    )


def _even(value: Fraction | float) -> int:
    return 2 * round(value / 2)
