"""Composes music (chords, bass, plucked notes, soft drums) and a made-up voice-over, both from a seed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
Sound = NDArray[Any]
_PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 3), (5, 3, 0, 4), (0, 4, 5, 3), (0, 2, 3, 4))
_SCALE = (0, 2, 4, 5, 7, 9, 11)


def compose(prompt: str, seed: int, seconds: float) -> Sound:
    """Shape (2, seconds * 48000), float32 within ±0.9, faded at both ends."""
    chance = random.Random(f"{prompt}:{seed}")  # noqa: S311 - music, not a secret
    total = round(seconds * RATE)
    bpm = _tempo(prompt, chance)
    beat = 60.0 / bpm
    root = 48 + chance.randrange(7)
    progression = chance.choice(_PROGRESSIONS)
    mix = np.zeros((2, total + RATE * 4), np.float32)
    noise = np.random.default_rng(chance.randrange(2**32))
    bar = 0
    while bar * 4 * beat < seconds:
        degree = progression[bar % 4]
        _bar(
            mix,
            start=bar * 4 * beat,
            beat=beat,
            chord=_chord(root, degree),
            bar=bar,
            chance=chance,
            noise=noise,
        )
        bar += 1
    return _master(_echo(mix, beat)[:, :total])


def _tempo(prompt: str, chance: random.Random) -> float:
    words = prompt.lower()
    if any(word in words for word in ("calm", "slow", "ambient", "soft", "warm")):
        return chance.uniform(72, 86)
    if any(word in words for word in ("upbeat", "energetic", "happy", "fast", "dance")):
        return chance.uniform(108, 122)
    return chance.uniform(88, 102)


def _chord(root: int, degree: int) -> list[int]:
    return [root + _SCALE[(degree + step) % 7] + 12 * ((degree + step) // 7) for step in (0, 2, 4, 6)]


def _bar(
    mix: Sound,
    *,
    start: float,
    beat: float,
    chord: list[int],
    bar: int,
    chance: random.Random,
    noise: np.random.Generator,
) -> None:
    for place, note in enumerate(chord):
        _add(mix, start, _pad(note, 4.3 * beat), 0.075, -0.6 + 0.4 * place)
    for at in (0, 1.5, 2, 3.5) if bar % 2 else (0, 2, 2.5):
        _add(mix, start + at * beat, _bass(chord[0] - 12, 0.9 * beat), 0.26, 0.0)
    if bar >= 1:
        for eighth in range(8):
            if chance.random() < 0.7:
                note = chance.choice(chord) + 12 * chance.choice((1, 1, 2))
                _add(mix, start + eighth * beat / 2, _pluck(note), 0.10, chance.uniform(-0.7, 0.7))
    if bar >= 2:
        for quarter in range(4):
            drum = _kick() if quarter % 2 == 0 else _brush(noise, 0.18, 0.5)
            _add(mix, start + quarter * beat, drum, 0.32 if quarter % 2 == 0 else 0.10, 0.0)
            _add(mix, start + (quarter + 0.5) * beat, _brush(noise, 0.05, 0.9), 0.05, 0.3)


def _times(seconds: float) -> Sound:
    return np.arange(round(seconds * RATE), dtype=np.float32) / RATE


def _hertz(note: int) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _pad(note: int, seconds: float) -> Sound:
    t = _times(seconds)
    tone = sum(
        np.sin(2 * np.pi * _hertz(note) * detune * t + n) for n, detune in enumerate((0.997, 1.0, 1.003))
    )
    swell = np.minimum(1, t / 0.5) * np.minimum(1, (seconds - t) / 0.6)
    return np.asarray((tone + 0.25 * np.sin(4 * np.pi * _hertz(note) * t)) * swell)


def _bass(note: int, seconds: float) -> Sound:
    t = _times(seconds)
    tone = np.sin(2 * np.pi * _hertz(note) * t) + 0.35 * np.sin(4 * np.pi * _hertz(note) * t)
    return np.asarray(
        tone * np.exp(-2.2 * t) * np.minimum(1, t / 0.008) * np.minimum(1, (seconds - t) / 0.03)
    )


def _pluck(note: int) -> Sound:
    t = _times(0.9)
    tone = sum(
        np.sin(2 * np.pi * _hertz(note) * k * t) * np.exp(-(3.5 + 2.5 * k) * t) / k for k in (1, 2, 3, 4)
    )
    return np.asarray(tone * np.minimum(1, t / 0.004))


def _kick() -> Sound:
    t = _times(0.28)
    return np.asarray(np.sin(2 * np.pi * (46 * t + 4.2 * (1 - np.exp(-28 * t)))) * np.exp(-13 * t))


def _brush(noise: np.random.Generator, seconds: float, brightness: float) -> Sound:
    hiss: Sound = noise.standard_normal(round(seconds * RATE))
    hiss = hiss - brightness * np.concatenate(([0.0], hiss[:-1]))
    return np.asarray(hiss * np.exp(-_times(seconds) * 7 / seconds) * 0.6)


def _add(mix: Sound, start: float, sound: Sound, gain: float, pan: float) -> None:
    first = round(start * RATE)
    part = sound[: max(0, mix.shape[1] - first)] * gain
    mix[0, first : first + len(part)] += part * (1 - max(0.0, pan))
    mix[1, first : first + len(part)] += part * (1 + min(0.0, pan))


def _echo(mix: Sound, beat: float) -> Sound:
    wet = mix.copy()
    for bounce, gain in ((1, 0.22), (2, 0.12), (3, 0.06)):
        delay = round(bounce * 0.75 * beat * RATE)
        wet[:, delay:] += mix[::-1, :-delay] * gain
    return wet


def _master(mix: Sound) -> Sound:
    """Even level, rounded peaks, short fades."""
    loud = np.sqrt(np.mean(mix**2)) or 1.0
    out = np.tanh(mix / loud * 0.16) * 0.9
    edge = min(RATE // 2, out.shape[1] // 4)
    ramp = np.linspace(0, 1, edge, dtype=np.float32) if edge else np.zeros(0, np.float32)
    if edge:
        out[:, :edge] *= ramp
        out[:, -edge:] *= ramp[::-1]
    return np.asarray(out.astype(np.float32))


def speak(line: str, speaker: str, seed: int) -> Sound:
    """A vowel for every three letters, pauses between words."""
    chance = random.Random(f"{line}:{speaker}:{seed}")  # noqa: S311 - a sound, not a secret
    pitch = 190.0 if speaker != "ben" else 115.0
    parts: list[Sound] = [np.zeros(RATE // 5, np.float32)]
    for word in line.split()[:400]:
        syllables = range(max(1, round(len(word) / 3)))
        parts.extend(_syllable(pitch * chance.uniform(0.88, 1.12), chance) for _ in syllables)
        parts.append(np.zeros(RATE // (4 if word[-1:] in ".,!?;:" else 14), np.float32))
    mono = np.concatenate(parts)
    return np.asarray(np.stack([mono, mono]).astype(np.float32))


def _syllable(pitch: float, chance: random.Random) -> Sound:
    t = _times(chance.uniform(0.11, 0.2))
    vowel = chance.choice(((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840)))
    tone = np.zeros_like(t)
    for k in range(1, 24):
        near = sum(np.exp(-(((k * pitch - centre) / 160) ** 2)) for centre in vowel)
        tone += (near + 0.03) * np.sin(2 * np.pi * pitch * k * t)
    hull = np.maximum(0, np.sin(np.pi * t / t[-1])) ** 0.6
    return np.asarray(tone * hull * 0.28)
