"""Turns an edit and the facts of its clips into FFmpeg's arguments, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from stitcher.core.cuts.domain.audio_filters import Levels, clips_audio_chains, mix_chains, music_chain
from stitcher.core.cuts.domain.edit import SAMPLE_RATE, Edit, Timeline
from stitcher.core.cuts.domain.video_filters import video_chains
from stitcher.core.media.domain import FileFacts, VideoFacts

CUT, CLIPS_TRACK, MUSIC_TRACK, CONCAT_LIST = "cut.mp4", "clips.wav", "music.wav", "clips.txt"
"""Names of the files that the commands write, in the folder they run in."""

MAX_KEYFRAME_SECONDS = 2
"""The most between two key frames: a player decodes that much after a jump."""


@dataclass(frozen=True)
class SourceFile:
    """A fetched file: its name in the folder, and what was measured on it."""

    name: str
    facts: FileFacts


@dataclass(frozen=True)
class Encoder:
    """How the picture is encoded: x264's preset and constant quality (lower is better; at 18 the loss is hard
    to see)."""

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
    """One run of FFmpeg: its arguments, the seconds of its output, and files to write before it, by name."""

    arguments: tuple[str, ...]
    seconds: float
    files: Mapping[str, str] = field(default_factory=dict)


def may_copy(edit: Edit, timeline: Timeline, clips: Sequence[SourceFile]) -> bool:
    """Whether the clips' packets can be put one after the other as they are, without decoding one frame.

    They must have the size and rate of the edit already, be used whole, and share one decoder set-up, because
    a file has one.
    """
    videos = [clip.facts.video for clip in clips]
    first = videos[0]
    if first is None or any(timeline.overlaps) or any(timeline.skipped):
        return False
    return all(
        video is not None and _matches_edit(video, edit, timeline, frames) and _same_decoder(video, first)
        for video, frames in zip(videos, timeline.frames, strict=True)
    )


def _matches_edit(video: VideoFacts, edit: Edit, timeline: Timeline, frames: int) -> bool:
    return (
        video.codec == "h264"
        and (video.width, video.height) == (edit.width, edit.height)
        and video.sar == 1
        and video.rotation == 0
        and video.pixel_format == "yuv420p"
        and video.rate == timeline.rate
        and video.frames == frames
        and video.constant_rate
        and video.starts_with_key
        and video.start == 0
        and (1 / timeline.rate / video.time_base).denominator == 1
        and video.matrix in ("", "bt709")
    )


def _same_decoder(video: VideoFacts, first: VideoFacts) -> bool:
    return bool(video.codec_header) and (video.codec_header, video.time_base, video.matrix) == (
        first.codec_header,
        first.time_base,
        first.matrix,
    )


def plan_tracks(
    edit: Edit, timeline: Timeline, clips: Sequence[SourceFile], music: SourceFile | None
) -> Command | None:
    """The run that lays out and measures the sound: the clips' own and the music, each as long as the cut.

    None when nothing has sound. Its log goes to `audio_filters.read_loudness`.
    """
    have_sound = [clip.facts.audio is not None for clip in clips]
    inputs: list[str] = []
    chains: list[str] = []
    outputs: list[str] = []
    if any(have_sound):
        inputs += [option for clip in clips for option in ("-i", clip.name)]
        chains += clips_audio_chains(have_sound, edit, timeline)
        outputs += ["-map", "[clips]", "-c:a", "pcm_f32le", CLIPS_TRACK]
    if music is not None:
        chains.append(music_chain(len(inputs) // 2, timeline))
        inputs += ["-stream_loop", "-1", "-i", music.name]
        outputs += ["-map", "[music]", "-c:a", "pcm_f32le", MUSIC_TRACK]
    if not outputs:
        return None
    arguments = (*inputs, "-filter_complex", ";".join(chains), *outputs)
    return Command(arguments, float(timeline.duration))


def plan_join(
    edit: Edit,
    timeline: Timeline,
    clips: Sequence[SourceFile],
    levels: Levels,
    encoder: Encoder,
    *,
    copy: bool,
) -> Command:
    """The run that makes the cut from the clips and the laid-out tracks."""
    duration = float(timeline.duration)
    files: dict[str, str] = {}
    if copy:
        inputs = ["-f", "concat", "-safe", "1", "-auto_convert", "0", "-i", CONCAT_LIST]
        picture_inputs, chains, mapped = 1, list[str](), "0:v:0"
        files[CONCAT_LIST] = _concat_list(timeline, clips)
    else:
        inputs = [option for clip in clips for option in ("-i", clip.name)]
        videos = [clip.facts.video for clip in clips if clip.facts.video is not None]
        chains = video_chains(videos, edit, timeline)
        picture_inputs, mapped = len(clips), "[picture]"
    inputs += ["-i", CLIPS_TRACK] if levels.clips_db is not None else []
    inputs += ["-i", MUSIC_TRACK] if levels.music_db is not None else []
    chains += mix_chains(
        levels, edit, timeline, picture_inputs, picture_inputs + (1 if levels.clips_db is not None else 0)
    )
    picture = _copy_options(clips) if copy else _encode_options(timeline.rate, encoder)
    arguments = [*inputs, "-filter_complex", ";".join(chains), "-map", mapped, "-map", "[sound]", *picture]
    arguments += ["-c:a", "aac", "-b:a", "192k", "-ar", str(SAMPLE_RATE), "-ac", "2"]
    arguments += ["-map_metadata", "-1", "-map_chapters", "-1", "-movflags", "+faststart", "-f", "mp4", CUT]
    return Command(tuple(arguments), duration, files)


def _concat_list(timeline: Timeline, clips: Sequence[SourceFile]) -> str:
    """The concat demuxer's list, with durations because a file's own includes sound that runs over."""
    lines = ["ffconcat version 1.0"]
    for clip, frames in zip(clips, timeline.frames, strict=True):
        lines += [f"file {clip.name}", f"duration {round(timeline.seconds(frames) * 1_000_000)}us"]
    return "\n".join(lines) + "\n"


def _copy_options(clips: Sequence[SourceFile]) -> list[str]:
    video = clips[0].facts.video
    base = video.time_base if video else Fraction(1, 90_000)
    return ["-c:v", "copy", "-video_track_timescale", str(base.denominator)]


def _encode_options(rate: Fraction, encoder: Encoder) -> list[str]:
    gop = max(1, int(rate * MAX_KEYFRAME_SECONDS))
    options = f"-c:v libx264 -preset {encoder.preset} -crf {encoder.crf} -profile:v high -pix_fmt yuv420p"
    options += f" -x264-params {encoder.tuning}" if encoder.tuning else ""
    options += f" -r {rate} -fps_mode cfr -g {gop} -keyint_min 1 -sc_threshold 40"
    options += " -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
    return options.split()
