"""The filters for sound: the clips' own sound in one track, the music under it, and how loud each must be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stitcher.core.cuts.domain.edit import SAMPLE_RATE, Edit, Loudness, Music, Timeline
from stitcher.core.cuts.domain.video_filters import microseconds

SILENT_LUFS = -50.0
"""A track quieter than this counts as silent: it is the hiss of a codec, and not to be amplified."""
MAX_LEVEL_CHANGE_DB = 30.0
_EDGE_FADE = Fraction(1, 100)
"""Seconds of fade at the ends of a clip's sound, without which hard cuts click."""

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


def clips_audio_chains(have_sound: Sequence[bool], edit: Edit, timeline: Timeline) -> list[str]:
    """Chains to `[clips]`, metered: `[i:a:0]` of the clips that have sound, silence for the others."""
    chains = []
    for index, has_sound in enumerate(have_sound):
        exact = _exactly(timeline.samples(timeline.frames[index]))
        if not has_sound:
            chains.append(f"anullsrc=r={SAMPLE_RATE}:cl=stereo,{_COMMON_FORMAT},{exact}[a{index}]")
            continue
        skipped = timeline.samples(timeline.skipped[index])
        skip = f",atrim=start_sample={skipped},asetpts=N/SR/TB" if skipped else ""
        chains.append(
            f"[{index}:a:0]aresample={SAMPLE_RATE}:async=1:first_pts=0,{_COMMON_FORMAT}{skip},{exact}"
            f"{_edge_fades(index, timeline)}[a{index}]"
        )
    end = f"{_exactly(timeline.samples(timeline.total))},{_metered('clips')}[clips]"
    return [*chains, *_join_chains(edit, timeline, end)]


def music_chain(index: int, timeline: Timeline) -> str:
    """A chain from the endlessly looped input `index` to `[music]`, as long as the cut, metered."""
    total = timeline.samples(timeline.total)
    return (
        f"[{index}:a:0]aresample={SAMPLE_RATE},{_COMMON_FORMAT},atrim=end_sample={total},asetpts=N/SR/TB,"
        f"{_metered('music')}[music]"
    )


def mix_chains(
    levels: Levels, edit: Edit, timeline: Timeline, clips_input: int, music_input: int
) -> list[str]:
    """Chains from the laid-out tracks (those that have a level) to `[sound]`, exactly as long as the cut."""
    total = timeline.samples(timeline.total)
    tracks = []
    if levels.clips_db is not None:
        tracks.append(f"[{clips_input}:a:0]{_COMMON_FORMAT},volume={levels.clips_db:.2f}dB")
    if levels.music_db is not None and edit.music is not None:
        fades = _music_fades(edit.music, timeline.duration)
        tracks.append(f"[{music_input}:a:0]{_COMMON_FORMAT},volume={levels.music_db:.2f}dB{fades}")
    if not tracks:
        return [f"anullsrc=r={SAMPLE_RATE}:cl=stereo,{_COMMON_FORMAT},atrim=end_sample={total}[sound]"]
    end = f"{_limited(edit.loudness)},{_exactly(total)}[sound]"
    if len(tracks) == 1:
        return [f"{tracks[0]},{end}"]
    return [
        f"{tracks[0]}[own]",
        f"{tracks[1]}[bed]",
        f"[own][bed]amix=inputs=2:duration=longest:normalize=0,{end}",
    ]


def mix_levels(loudness: Mapping[str, float], gain_db: float, target_lufs: float) -> Levels:
    """The gains with which the music is `gain_db` louder than the clips, and the whole is on target.

    Args:
        loudness: integrated loudness in LUFS of "clips" and "music", each only if there is such a track.
        gain_db: the music's loudness against the clips'; of no effect when the clips are silent.
        target_lufs: integrated loudness of the cut.
    """
    clips, music = _if_audible(loudness.get("clips")), _if_audible(loudness.get("music"))
    if clips is None:
        return Levels(None, None if music is None else _clamped(target_lufs - music))
    if music is None:
        return Levels(_clamped(target_lufs - clips), None)
    # Two unrelated sounds add by power, to within a decibel of what a meter reads of the mix.
    together = clips + 10 * math.log10(1 + 10 ** (gain_db / 10))
    overall = _clamped(target_lufs - together)
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


def _exactly(samples: int) -> str:
    return f"apad=whole_len={samples},atrim=end_sample={samples},asetpts=N/SR/TB"


def _edge_fades(index: int, timeline: Timeline) -> str:
    """Short fades at those ends of a clip's sound at which it does not overlap with another's."""
    seconds = timeline.seconds(timeline.frames[index])
    fade = min(_EDGE_FADE, seconds / 2)
    duration = microseconds(fade)
    fades = ""
    if index == 0 or not timeline.overlaps[index - 1]:
        fades += f",afade=t=in:d={duration}us"
    if index == len(timeline.frames) - 1 or not timeline.overlaps[index]:
        fades += f",afade=t=out:st={microseconds(seconds - fade)}us:d={duration}us"
    return fades


def _music_fades(music: Music, duration: Fraction) -> str:
    fades = ""
    if music.fade_in_seconds:
        fades += f",afade=t=in:d={microseconds(min(Fraction(music.fade_in_seconds), duration))}us"
    if music.fade_out_seconds:
        fade = min(Fraction(music.fade_out_seconds), duration)
        fades += f",afade=t=out:st={microseconds(duration - fade)}us:d={microseconds(fade)}us"
    return fades


def _limited(loudness: Loudness) -> str:
    """A limiter at four times the rate, as BS.1770 measures true peaks.

    At the plain rate it would not see what swings above the ceiling between two samples, up to 3 dB.
    """
    ceiling = 10 ** (loudness.true_peak_db / 20)
    limiter = f"alimiter=limit={ceiling:.4f}:attack=5:release=80:level=false:latency=true"
    return f"aresample={4 * SAMPLE_RATE},{limiter},aresample={SAMPLE_RATE}"


def _join_chains(edit: Edit, timeline: Timeline, end: str) -> list[str]:
    """Chains from `[a0]`, `[a1]`, … into `end`, joined as the picture is (see `video_filters`)."""
    chains: list[str] = []
    joined = ""
    for run in timeline.runs:
        label = f"[a{run[0]}]"
        if len(run) > 1:
            inputs = "".join(f"[a{index}]" for index in run)
            label = f"[s{run[0]}]"
            chains.append(f"{inputs}concat=n={len(run)}:v=0:a=1{label}")
        if joined and (blend := edit.joints[run[0] - 1].blend):
            samples = timeline.samples(timeline.overlaps[run[0] - 1])
            chains.append(f"{joined}{label}acrossfade=ns={samples}:{blend.sound}[y{run[0]}]")
            label = f"[y{run[0]}]"
        joined = label
    return [*chains, f"{joined}{end}"]
