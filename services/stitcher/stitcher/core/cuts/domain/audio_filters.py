"""The filters for sound: the clips' own sound in one track, the music under it, and how loud each must be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stitcher.core.cuts.domain.edit import SAMPLE_RATE, Timeline
from stitcher.core.cuts.domain.video_filters import microseconds

TARGET_LUFS = -16.0
"""Loudness of a cut: what web players aim at (AES TD1008: -16 LUFS for streamed speech and music)."""
SILENT_LUFS = -50.0
"""A track quieter than this counts as silent: it is the hiss of a codec, and not to be amplified."""
LIMITER_CEILING = 0.84
"""The limiter's ceiling, -1.5 dBFS: room for what AAC adds to peaks."""
MAX_LEVEL_CHANGE_DB = 30.0
MUSIC_FADE = Fraction(3, 2)
"""Seconds over which the music fades out at the end."""
_EDGE_FADE = Fraction(1, 100)
"""Seconds of fade at both ends of a clip's sound, without which hard cuts click."""

_COMMON_FORMAT = f"aformat=sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"
_SUMMARY = re.compile(r"\[ebur128@(\w+) @ [^\]]*\] Summary:.*?I:\s+(-?(?:[\d.]+|inf|nan)) LUFS", re.DOTALL)


@dataclass(frozen=True)
class Levels:
    """Gains in decibels for the clips' own sound and the music; None: that track is left out."""

    clips_db: float | None
    music_db: float | None

    @property
    def audible(self) -> bool:
        """Whether any track is in the mix: otherwise the cut is silent, and rightly so."""
        return self.clips_db is not None or self.music_db is not None


def clips_audio_chains(have_sound: Sequence[bool], timeline: Timeline) -> list[str]:
    """Chains to `[clips]`, metered: `[i:a:0]` of the clips that have sound, silence for the others."""
    chains = []
    for index, (has_sound, frames) in enumerate(zip(have_sound, timeline.frames, strict=True)):
        samples = timeline.samples(frames)
        exact = f"apad=whole_len={samples},atrim=end_sample={samples},asetpts=N/SR/TB"
        if not has_sound:
            chains.append(f"anullsrc=r={SAMPLE_RATE}:cl=stereo,{_COMMON_FORMAT},{exact}[a{index}]")
            continue
        edges = "" if timeline.fade else f",{_edge_fades(timeline.seconds(frames))}"
        chains.append(
            f"[{index}:a:0]aresample={SAMPLE_RATE}:async=1:first_pts=0,{_COMMON_FORMAT},{exact}{edges}[a{index}]"
        )
    total = timeline.samples(timeline.total)
    end = f"apad=whole_len={total},atrim=end_sample={total},asetpts=N/SR/TB,{_metered('clips')}[clips]"
    return [*chains, *_join_chains(timeline, end)]


def music_chain(index: int, timeline: Timeline) -> str:
    """A chain from the endlessly looped input `index` to `[music]`, as long as the cut, metered."""
    total = timeline.samples(timeline.total)
    return (
        f"[{index}:a:0]aresample={SAMPLE_RATE},{_COMMON_FORMAT},atrim=end_sample={total},asetpts=N/SR/TB,"
        f"{_metered('music')}[music]"
    )


def mix_chains(levels: Levels, timeline: Timeline, clips_input: int, music_input: int) -> list[str]:
    """Chains from the laid-out tracks (those that have a level) to `[sound]`, exactly as long as the cut."""
    total = timeline.samples(timeline.total)
    tracks = []
    if levels.clips_db is not None:
        tracks.append(f"[{clips_input}:a:0]{_COMMON_FORMAT},volume={levels.clips_db:.2f}dB[own]")
    if levels.music_db is not None:
        fade = min(MUSIC_FADE, timeline.duration)
        start = microseconds(timeline.duration - fade)
        tracks.append(
            f"[{music_input}:a:0]{_COMMON_FORMAT},volume={levels.music_db:.2f}dB,"
            f"afade=t=out:st={start}us:d={microseconds(fade)}us[bed]"
        )
    limited = (
        f"alimiter=limit={LIMITER_CEILING}:attack=5:release=80:level=false:latency=true,"
        f"apad=whole_len={total},atrim=end_sample={total},asetpts=N/SR/TB[sound]"
    )
    if not tracks:
        return [f"anullsrc=r={SAMPLE_RATE}:cl=stereo,{_COMMON_FORMAT},atrim=end_sample={total}[sound]"]
    if len(tracks) == 1:
        return [f"{tracks[0][: tracks[0].rindex('[')]},{limited}"]
    return [*tracks, f"[own][bed]amix=inputs=2:duration=longest:normalize=0,{limited}"]


def mix_levels(loudness: Mapping[str, float], gain_db: float) -> Levels:
    """The gains with which the music is `gain_db` louder than the clips, and the whole has -16 LUFS.

    Args:
        loudness: integrated loudness in LUFS of "clips" and "music", each only if there is such a track.
        gain_db: the music's loudness against the clips'; of no effect when the clips are silent.
    """
    clips, music = _if_audible(loudness.get("clips")), _if_audible(loudness.get("music"))
    if clips is None:
        return Levels(None, None if music is None else _clamped(TARGET_LUFS - music))
    if music is None:
        return Levels(_clamped(TARGET_LUFS - clips), None)
    # Two unrelated sounds add by power, to within a decibel of what a meter reads of the mix.
    together = clips + 10 * math.log10(1 + 10 ** (gain_db / 10))
    overall = _clamped(TARGET_LUFS - together)
    return Levels(overall, _clamped(clips + gain_db - music + overall, 2 * MAX_LEVEL_CHANGE_DB))


def read_loudness(log: str) -> dict[str, float]:
    """Integrated loudness in LUFS by track, from the summaries that the filters `ebur128@<track>` log."""
    return {found[1]: float(found[2]) for found in _SUMMARY.finditer(log)}


def _if_audible(loudness: float | None) -> float | None:
    if loudness is None or not math.isfinite(loudness) or loudness < SILENT_LUFS:
        return None
    return loudness


def _clamped(gain: float, limit: float = MAX_LEVEL_CHANGE_DB) -> float:
    return max(-limit, min(limit, gain))


def _metered(name: str) -> str:
    return f"ebur128@{name}=framelog=quiet,{_COMMON_FORMAT}"


def _edge_fades(seconds: Fraction) -> str:
    fade = min(_EDGE_FADE, seconds / 2)
    duration = microseconds(fade)
    return f"afade=t=in:d={duration}us,afade=t=out:st={microseconds(seconds - fade)}us:d={duration}us"


def _join_chains(timeline: Timeline, end: str) -> list[str]:
    count = len(timeline.frames)
    if count == 1:
        return [f"[a0]{end}"]
    if not timeline.fade:
        return ["".join(f"[a{index}]" for index in range(count)) + f"concat=n={count}:v=0:a=1,{end}"]
    samples = timeline.samples(timeline.fade)
    chains, last = [], "[a0]"
    for index in range(1, count):
        into = f"[y{index}]" if index < count - 1 else f",{end}"
        chains.append(f"{last}[a{index}]acrossfade=ns={samples}:c1=qsin:c2=qsin{into}")
        last = f"[y{index}]"
    return chains
