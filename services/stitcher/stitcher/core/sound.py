"""The sound's half: the clips' own sound in one line, the music under it, and how loud each must be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stitcher.core.edit import SAMPLE_RATE, Timeline
from stitcher.core.picture import microseconds

TARGET_LUFS = -16.0
"""Loudness of a cut: what web players aim at (AES TD1008 asks for -16 LUFS of streamed speech and music)."""
SILENT_LUFS = -50.0
"""Quieter than this a track counts as having no sound: the hiss of a codec, not something to bring up."""
PEAK = 0.84
"""The limiter's ceiling, -1.5 dBFS: room for what AAC adds to peaks."""
MOST_GAIN_DB = 30.0
MUSIC_FADE = Fraction(3, 2)
"""Seconds over which the music fades out at the end."""
_SOFTEN = Fraction(1, 100)
"""Seconds of fade at hard cuts of sound, without which they click."""

_ALIKE = f"aformat=sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"
_SUMMARY = re.compile(r"\[ebur128@(\w+) @ [^\]]*\] Summary:.*?I:\s+(-?(?:[\d.]+|inf|nan)) LUFS", re.DOTALL)


@dataclass(frozen=True)
class Levels:
    """Gains in decibels for the clips' own sound and the music; None: that track is left out."""

    clips_db: float | None
    music_db: float | None

    @property
    def audible(self) -> bool:
        """Whether anything is left in: else the cut is silent, and rightly so."""
        return self.clips_db is not None or self.music_db is not None


def clips_chains(sounding: Sequence[bool], line: Timeline) -> list[str]:
    """Chains from `[i:a:0]` of the clips that sound, and silence for the others, to `[clips]`, measured."""
    chains = []
    for index, (sounds, frames) in enumerate(zip(sounding, line.frames, strict=True)):
        samples = line.samples(frames)
        exact = f"apad=whole_len={samples},atrim=end_sample={samples},asetpts=N/SR/TB"
        if not sounds:
            chains.append(f"anullsrc=r={SAMPLE_RATE}:cl=stereo,{_ALIKE},{exact}[a{index}]")
            continue
        soft = "" if line.fade else f",{_softened(line.seconds(frames))}"
        chains.append(
            f"[{index}:a:0]aresample={SAMPLE_RATE}:async=1:first_pts=0,{_ALIKE},{exact}{soft}[a{index}]"
        )
    total = line.samples(line.total)
    end = f"apad=whole_len={total},atrim=end_sample={total},asetpts=N/SR/TB,{_measured('clips')}[clips]"
    return [*chains, *_joined(line, end)]


def music_chain(index: int, line: Timeline) -> str:
    """A chain from the endlessly looped input `index` to `[music]`, as long as the cut, measured."""
    total = line.samples(line.total)
    return (
        f"[{index}:a:0]aresample={SAMPLE_RATE},{_ALIKE},atrim=end_sample={total},asetpts=N/SR/TB,"
        f"{_measured('music')}[music]"
    )


def mix_chains(levels: Levels, line: Timeline, clips_input: int, music_input: int) -> list[str]:
    """Chains from the measured tracks (those that have a level) to `[sound]`, exactly as long as the cut."""
    total = line.samples(line.total)
    tracks = []
    if levels.clips_db is not None:
        tracks.append(f"[{clips_input}:a:0]{_ALIKE},volume={levels.clips_db:.2f}dB[own]")
    if levels.music_db is not None:
        fade = min(MUSIC_FADE, line.duration)
        start = microseconds(line.duration - fade)
        tracks.append(
            f"[{music_input}:a:0]{_ALIKE},volume={levels.music_db:.2f}dB,"
            f"afade=t=out:st={start}us:d={microseconds(fade)}us[bed]"
        )
    limited = (
        f"alimiter=limit={PEAK}:attack=5:release=80:level=false:latency=true,"
        f"apad=whole_len={total},atrim=end_sample={total},asetpts=N/SR/TB[sound]"
    )
    if not tracks:
        return [f"anullsrc=r={SAMPLE_RATE}:cl=stereo,{_ALIKE},atrim=end_sample={total}[sound]"]
    if len(tracks) == 1:
        return [f"{tracks[0][: tracks[0].rindex('[')]},{limited}"]
    return [*tracks, f"[own][bed]amix=inputs=2:duration=longest:normalize=0,{limited}"]


def levels(loudness: Mapping[str, float], gain_db: float) -> Levels:
    """How loud each must be so that the music stands `gain_db` over the clips and the whole at -16 LUFS.

    Args:
        loudness: integrated loudness in LUFS of "clips" and "music", each only if there is such a track.
        gain_db: the music's loudness against the clips'; nothing to be against when the clips are silent.
    """
    clips, music = _audible(loudness.get("clips")), _audible(loudness.get("music"))
    if clips is None:
        return Levels(None, None if music is None else _bounded(TARGET_LUFS - music))
    if music is None:
        return Levels(_bounded(TARGET_LUFS - clips), None)
    # Two unrelated sounds add by power, to within a decibel of what a meter says of the mix.
    together = clips + 10 * math.log10(1 + 10 ** (gain_db / 10))
    rise = _bounded(TARGET_LUFS - together)
    return Levels(rise, _bounded(clips + gain_db - music + rise, 2 * MOST_GAIN_DB))


def read_loudness(log: str) -> dict[str, float]:
    """Integrated loudness in LUFS by track, from what FFmpeg's `ebur128@<track>` filters say at their end."""
    return {found[1]: float(found[2]) for found in _SUMMARY.finditer(log)}


def _audible(loudness: float | None) -> float | None:
    if loudness is None or not math.isfinite(loudness) or loudness < SILENT_LUFS:
        return None
    return loudness


def _bounded(gain: float, most: float = MOST_GAIN_DB) -> float:
    return max(-most, min(most, gain))


def _measured(name: str) -> str:
    return f"ebur128@{name}=framelog=quiet,{_ALIKE}"


def _softened(seconds: Fraction) -> str:
    soft = min(_SOFTEN, seconds / 2)
    lasts = microseconds(soft)
    return f"afade=t=in:d={lasts}us,afade=t=out:st={microseconds(seconds - soft)}us:d={lasts}us"


def _joined(line: Timeline, end: str) -> list[str]:
    count = len(line.frames)
    if count == 1:
        return [f"[a0]{end}"]
    if not line.fade:
        return ["".join(f"[a{index}]" for index in range(count)) + f"concat=n={count}:v=0:a=1,{end}"]
    samples = line.samples(line.fade)
    chains, last = [], "[a0]"
    for index in range(1, count):
        into = f"[y{index}]" if index < count - 1 else f",{end}"
        chains.append(f"{last}[a{index}]acrossfade=ns={samples}:c1=qsin:c2=qsin{into}")
        last = f"[y{index}]"
    return chains
