"""From an edit and the facts of its clips to FFmpeg's arguments, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from stitcher.core.edit import SAMPLE_RATE, Edit, Timeline
from stitcher.core.facts import FileFacts, VideoFacts
from stitcher.core.picture import picture_graph
from stitcher.core.sound import Levels, clips_chains, mix_chains, music_chain

CUT, CLIPS_TRACK, MUSIC_TRACK, LIST = "cut.mp4", "clips.wav", "music.wav", "clips.txt"
"""Names of what the commands write, in the folder they run in."""

KEY_SECONDS = 2
"""At most so long between two key frames: what a player waits for after a jump."""


@dataclass(frozen=True)
class Source:
    """A fetched file: its name in the folder, and what was measured on it."""

    name: str
    facts: FileFacts


@dataclass(frozen=True)
class Encoder:
    """How the picture is coded: x264's preset and constant quality (lower is better; 18 is hard to tell)."""

    preset: str = "superfast"
    crf: int = 18

    @property
    def tuning(self) -> str:
        """x264's fastest presets plus the two things they leave out that pay.

        Measured on 4 s of 1080p at CRF 18, two cores: superfast 1.6 s, 8.8 MB, SSIM 0.9976; veryfast 2.0 s,
        5.6 MB, 0.9964; superfast with these 1.5 s, 5.9 MB, 0.9961.
        """
        return "mbtree=1:rc-lookahead=12" if self.preset in ("ultrafast", "superfast") else ""


@dataclass(frozen=True)
class Command:
    """One run of FFmpeg: its arguments, how many seconds of output it makes, files to write before."""

    arguments: tuple[str, ...]
    seconds: float
    files: Mapping[str, str] = field(default_factory=dict)


def may_copy(edit: Edit, line: Timeline, clips: Sequence[Source]) -> bool:
    """Whether the clips' pictures can be put one after the other as they are, without decoding one frame.

    They must already be what the edit asks for, be used whole, and share one decoder set-up: a file has one.
    """
    videos = [clip.facts.video for clip in clips]
    first = videos[0]
    if first is None or line.fade:
        return False
    return all(
        video is not None and _fits(video, edit, line, frames) and _alike(video, first)
        for video, frames in zip(videos, line.frames, strict=True)
    )


def _fits(video: VideoFacts, edit: Edit, line: Timeline, frames: int) -> bool:
    return (
        video.codec == "h264"
        and (video.width, video.height) == (edit.width, edit.height)
        and video.sar == 1
        and video.rotation == 0
        and video.pixel_format == "yuv420p"
        and video.rate == line.rate
        and video.frames == frames
        and video.constant_rate
        and video.starts_with_key
        and video.start == 0
        and (1 / line.rate / video.time_base).denominator == 1
        and video.matrix in ("", "bt709")
    )


def _alike(video: VideoFacts, first: VideoFacts) -> bool:
    return bool(video.codec_header) and (video.codec_header, video.time_base, video.matrix) == (
        first.codec_header,
        first.time_base,
        first.matrix,
    )


def plan_tracks(line: Timeline, clips: Sequence[Source], music: Source | None) -> Command | None:
    """The run that lays out and measures the sound: the clips' own and the music, each as long as the cut.

    None when nothing sounds. What it says at its end goes to `sound.read_loudness`.
    """
    sounding = [clip.facts.audio is not None for clip in clips]
    inputs: list[str] = []
    chains: list[str] = []
    outputs: list[str] = []
    if any(sounding):
        inputs += [word for clip in clips for word in ("-i", clip.name)]
        chains += clips_chains(sounding, line)
        outputs += ["-map", "[clips]", "-c:a", "pcm_f32le", CLIPS_TRACK]
    if music is not None:
        chains.append(music_chain(len(inputs) // 2, line))
        inputs += ["-stream_loop", "-1", "-i", music.name]
        outputs += ["-map", "[music]", "-c:a", "pcm_f32le", MUSIC_TRACK]
    if not outputs:
        return None
    arguments = (*inputs, "-filter_complex", ";".join(chains), *outputs)
    return Command(arguments, float(line.duration))


def plan_join(
    edit: Edit, line: Timeline, clips: Sequence[Source], levels: Levels, encoder: Encoder, *, copy: bool
) -> Command:
    """The run that makes the cut from the clips and the measured tracks."""
    duration = float(line.duration)
    files: dict[str, str] = {}
    if copy:
        inputs = ["-f", "concat", "-safe", "1", "-auto_convert", "0", "-i", LIST]
        picture_inputs, chains, mapped = 1, list[str](), "0:v:0"
        files[LIST] = _listed(line, clips)
    else:
        inputs = [word for clip in clips for word in ("-i", clip.name)]
        videos = [clip.facts.video for clip in clips if clip.facts.video is not None]
        chains = picture_graph(videos, line, edit.width, edit.height)
        picture_inputs, mapped = len(clips), "[picture]"
    inputs += ["-i", CLIPS_TRACK] if levels.clips_db is not None else []
    inputs += ["-i", MUSIC_TRACK] if levels.music_db is not None else []
    chains += mix_chains(
        levels, line, picture_inputs, picture_inputs + (1 if levels.clips_db is not None else 0)
    )
    picture = _copying(clips) if copy else _encoding(line.rate, encoder)
    arguments = [*inputs, "-filter_complex", ";".join(chains), "-map", mapped, "-map", "[sound]", *picture]
    arguments += ["-c:a", "aac", "-b:a", "192k", "-ar", str(SAMPLE_RATE), "-ac", "2"]
    arguments += ["-map_metadata", "-1", "-map_chapters", "-1", "-movflags", "+faststart", "-f", "mp4", CUT]
    return Command(tuple(arguments), duration, files)


def _listed(line: Timeline, clips: Sequence[Source]) -> str:
    """The concat demuxer's list. `duration` is said because a file's own includes sound that runs over."""
    lines = ["ffconcat version 1.0"]
    for clip, frames in zip(clips, line.frames, strict=True):
        lines += [f"file {clip.name}", f"duration {round(line.seconds(frames) * 1_000_000)}us"]
    return "\n".join(lines) + "\n"


def _copying(clips: Sequence[Source]) -> list[str]:
    video = clips[0].facts.video
    base = video.time_base if video else Fraction(1, 90_000)
    return ["-c:v", "copy", "-video_track_timescale", str(base.denominator)]


def _encoding(rate: Fraction, encoder: Encoder) -> list[str]:
    gop = max(1, int(rate * KEY_SECONDS))
    words = f"-c:v libx264 -preset {encoder.preset} -crf {encoder.crf} -profile:v high -pix_fmt yuv420p"
    words += f" -x264-params {encoder.tuning}" if encoder.tuning else ""
    words += f" -r {rate} -fps_mode cfr -g {gop} -keyint_min 1 -sc_threshold 40"
    words += " -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
    return words.split()
