"""The filters for the picture: every clip is brought to one shape and rate, then they are joined."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from stitcher.core.cuts.domain.edit import Timeline
from stitcher.core.media.domain import VideoFacts

MAX_CROP_RATIO = Fraction(112, 100)
"""Up to this ratio of the two aspects a clip fills the frame and loses its edges, at most a ninth of one
side: nobody misses that, while bars a few pixels wide look like a mistake. Beyond it (portrait in landscape)
a crop would remove what the shot is about, so the whole clip is shown over a blurred, darker copy."""

_BACKDROP_SCALE = 8
"""The blurred backdrop is made at an eighth of the size: the blur hides it, and it costs 1/64."""


def video_chains(videos: Sequence[VideoFacts], timeline: Timeline, width: int, height: int) -> list[str]:
    """Chains from `[0:v:0]`, `[1:v:0]`, … to `[picture]`: `timeline.total` frames at `timeline.rate`."""
    chains: list[str] = []
    for index, (video, frames) in enumerate(zip(videos, timeline.frames, strict=True)):
        chains += clip_chains(index, video, frames, timeline.rate, width, height)
    chains += join_chains(timeline)
    return chains


def clip_chains(
    index: int, video: VideoFacts, frames: int, rate: Fraction, width: int, height: int
) -> list[str]:
    """Chains that turn clip `index` into `[v<index>]`: `frames` frames of width x height at `rate`."""
    drops_frames = video.rate > rate  # then first, so that fewer frames are scaled
    before = ["setpts=PTS-STARTPTS", *([f"fps={rate}"] if drops_frames else [])]
    after = [
        "setsar=1",
        "format=yuv420p",
        *([] if drops_frames else [f"fps={rate}"]),
        "tpad=stop=-1:stop_mode=clone",  # a clip that is too short holds its last frame
        f"trim=end_frame={frames}",
        f"settb={1 / rate}",
    ]
    return _framed(f"[{index}:v:0]{','.join(before)},", video, width, height, f",{','.join(after)}[v{index}]")


def join_chains(timeline: Timeline) -> list[str]:
    """Chains from `[v0]`, `[v1]`, … to `[picture]`, tagged as BT.709 in studio range."""
    count = len(timeline.frames)
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,format=yuv420p[picture]"
    if count == 1:
        return [f"[v0]{tags}"]
    if not timeline.fade:
        ends = "".join(f"[v{index}]" for index in range(count))
        return [f"{ends}concat=n={count}:v=1:a=0,settb={1 / timeline.rate},{tags}"]
    duration = microseconds(timeline.seconds(timeline.fade))
    chains, last = [], "[v0]"
    for index in range(1, count):
        offset = microseconds(timeline.seconds(timeline.starts[index]))
        into = f"[x{index}]" if index < count - 1 else f",{tags}"
        chains.append(f"{last}[v{index}]xfade=transition=fade:duration={duration}us:offset={offset}us{into}")
        last = f"[x{index}]"
    return chains


def microseconds(seconds: Fraction) -> int:
    """The finest unit in which FFmpeg reads times."""
    return round(seconds * 1_000_000)


def covers(video: VideoFacts, width: int, height: int) -> bool:
    """Whether the clip fills the frame and may lose its edges; otherwise it is shown whole on a backdrop."""
    wide, high = video.display_size
    ratio = (wide / high) / Fraction(width, height)
    return max(ratio, 1 / ratio) <= MAX_CROP_RATIO


def cover_size(video: VideoFacts, width: int, height: int) -> tuple[int, int]:
    """The smallest even size of the clip's own shape that covers width x height."""
    wide, high = video.display_size
    factor = max(width / wide, height / high)
    return max(width, _even(wide * factor)), max(height, _even(high * factor))


def fit_size(video: VideoFacts, width: int, height: int) -> tuple[int, int]:
    """The largest even size of the clip's own shape that fits into width x height."""
    wide, high = video.display_size
    factor = min(width / wide, height / high)
    return min(width, max(2, _even(wide * factor))), min(height, max(2, _even(high * factor)))


def _framed(head: str, video: VideoFacts, width: int, height: int, tail: str) -> list[str]:
    if covers(video, width, height):
        return [f"{head}{_covering(video, width, height)}{tail}"]
    name = tail[tail.rindex("[") + 1 : -1]  # unique in the graph, so the labels made of it are
    small_width = max(2, width // _BACKDROP_SCALE & ~1)
    small_height = max(2, height // _BACKDROP_SCALE & ~1)
    fit_width, fit_height = fit_size(video, width, height)
    left, top = (width - fit_width) // 2, (height - fit_height) // 2
    backdrop = (
        f"{_covering(video, small_width, small_height)},format=yuv420p,gblur=sigma=6,"
        f"lutyuv=y=(val-16)*0.6+16,scale={width}:{height}:flags=bilinear,setsar=1"
    )
    whole = f"{_scale(video, fit_width, fit_height)},setsar=1,format=yuv420p"
    return [
        f"{head}split=2[{name}s][{name}b]",
        f"[{name}b]{backdrop}[{name}f]",
        f"[{name}s]{whole}[{name}w]",
        f"[{name}f][{name}w]overlay={left}:{top}:eof_action=endall:format=yuv420{tail}",
    ]


def _covering(video: VideoFacts, width: int, height: int) -> str:
    size = cover_size(video, width, height)
    scaled = _scale(video, *size)
    return scaled if size == (width, height) else f"{scaled},crop={width}:{height}"


def _scale(video: VideoFacts, width: int, height: int) -> str:
    """Scale into BT.709 studio range; untagged material is read by the convention of its size."""
    source = "auto" if video.matrix else ("bt709" if min(video.width, video.height) >= 720 else "smpte170m")
    return (
        f"scale={width}:{height}:flags=bicubic:in_color_matrix={source}:out_color_matrix=bt709:out_range=tv"
    )


def _even(value: Fraction | float) -> int:
    return 2 * round(value / 2)
