"""Choosing scenes from photos without asking anyone: group, score, vary, tell in the order of a visit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.core.runs.ports import Look, Photo
from generator.core.scenes.domain.photo_labels import Subject, subject

NEAR = 8
"""Bits of 64 by which two difference hashes may differ and still show nearly the same."""

_FULL_HD = 1920 * 1080
_SHARP = 600.0
"""Variance of the Laplacian (256 px wide, 0 to 255) at which a photo counts as quite sharp."""


@dataclass(frozen=True)
class Candidate:
    """A photo with what it shows and how good it is (0 to 1)."""

    photo: Photo
    subject: Subject
    look: Look | None
    score: float


@dataclass(frozen=True)
class Wish:
    """What the scenes are for."""

    scene_count: int
    scene_seconds: float
    brief: str = ""
    brand_guidelines: str = ""
    width: int = 1920
    height: int = 1080


@dataclass(frozen=True)
class Scene:
    """A chosen scene: the photo it starts from, what should be seen, and why."""

    asset_id: str
    prompt: str
    seconds: float
    reason: str


def plan(photos: Sequence[Photo], looks: Mapping[str, Look], wish: Wish) -> list[Scene]:
    """Exactly `scene_count` scenes, from at least one photo; one is used again when there are too few."""
    candidates = [candidate(photo, looks.get(photo.asset_id), wish) for photo in photos]
    readable = [each for each in candidates if each.look is not None] or candidates
    chosen = _choose(_one_place(readable, wish), readable, wish.scene_count)
    story = sorted(
        chosen, key=lambda each: (each.subject.order, each.subject.group, -each.score, each.photo.asset_id)
    )
    told = [story[number % len(story)] for number in range(wish.scene_count)]
    return [_scene(each, number, told, wish, len(photos)) for number, each in enumerate(told)]


def candidate(photo: Photo, look: Look | None, wish: Wish) -> Candidate:
    """The photo with its score: half sharpness, a quarter resolution, the rest light and fit to the frame."""
    if look is None:
        return Candidate(photo, subject(photo), None, 0.0)
    sharp = min(math.log1p(look.sharpness) / math.log1p(_SHARP), 1.0)
    pixels = min(math.sqrt(max(photo.width * photo.height, 0) / _FULL_HD), 1.0)
    score = (
        0.45 * sharp + 0.25 * pixels + 0.1 * look.exposure + 0.1 * look.contrast + 0.1 * _framing(photo, wish)
    )
    return Candidate(photo, subject(photo), look, score)


def _framing(photo: Photo, wish: Wish) -> float:
    """How much of the photo a frame of the cut's shape keeps, 0 to 1."""
    if min(photo.width, photo.height, wish.width, wish.height) <= 0:
        return 0.5
    have, want = photo.width / photo.height, wish.width / wish.height
    return min(have, want) / max(have, want)


def _one_place(candidates: Sequence[Candidate], wish: Wish) -> list[Candidate]:
    """The photos of one place when it can fill the advert: one that jumps between houses confuses.

    A place that the brief names wins; else the one with the best photos. All photos when no place shows as
    many different things as there are scenes (or as there are at all).
    """
    places: dict[str, list[Candidate]] = defaultdict(list)
    for each in candidates:
        places[each.subject.place].append(each)
    needed = min(wish.scene_count, len({each.subject.group for each in candidates}))
    brief = wish.brief.lower().replace(" ", "")
    able = {
        place: group
        for place, group in places.items()
        if place and len({each.subject.group for each in group}) >= needed
    }
    if not able:
        return list(candidates)
    named = [place for place in able if place.replace(" ", "") in brief]
    return able[max(named or able, key=lambda place: (_best_of_each(able[place], wish.scene_count), place))]


def _best_of_each(group: Sequence[Candidate], count: int) -> float:
    best: dict[str, float] = defaultdict(float)
    for each in group:
        best[each.subject.group] = max(best[each.subject.group], each.score)
    return sum(sorted(best.values(), reverse=True)[:count])


def _choose(preferred: Sequence[Candidate], everything: Sequence[Candidate], count: int) -> list[Candidate]:
    """Up to `count` different photos: a new group before a known one, nothing that nearly repeats another."""
    chosen: list[Candidate] = []
    for pool, near in ((preferred, NEAR), (everything, NEAR), (preferred, -1), (everything, -1)):
        left = sorted(pool, key=lambda each: (-each.score, each.photo.asset_id))
        while left and len(chosen) < count:
            groups = [each.subject.group for each in chosen]
            left = [each for each in left if each not in chosen and not _repeats(each, chosen, near)]
            if not left:
                break
            chosen.append(min(left, key=lambda each: (groups.count(each.subject.group), -each.score)))
    return chosen


def _repeats(one: Candidate, chosen: Sequence[Candidate], near: int) -> bool:
    if any(one.photo.sha256 and one.photo.sha256 == other.photo.sha256 for other in chosen) and near >= 0:
        return True
    return one.look is not None and any(
        other.look is not None and (one.look.fingerprint ^ other.look.fingerprint).bit_count() <= near
        for other in chosen
    )


_MOVES = (
    "the camera pushes in slowly",
    "the camera glides from left to right",
    "the camera rises gently",
    "the camera pulls back slowly",
    "the camera glides from right to left",
    "the camera drifts forward past the foreground",
)
_OPENINGS = {
    "exterior": "Establishing shot of the building from outside",
    "hall": "Stepping inside through the hall",
    "living room": "The living room, open and inviting",
    "kitchen": "The kitchen, clean lines and warm light",
    "dining room": "The dining room, ready for guests",
    "bedroom": "The bedroom, calm and soft",
    "bathroom": "The bathroom, bright and fresh",
    "office": "The study, quiet and ordered",
    "leisure": "A place to unwind",
    "garden": "Out into the garden",
    "photo": "A clear view of the subject",
}


def _scene(each: Candidate, number: int, told: Sequence[Candidate], wish: Wish, of: int) -> Scene:
    group = each.subject.group
    sentences = [f"{_OPENINGS.get(group, f'A view of the {group}')}; {_MOVES[number % len(_MOVES)]}"]
    sentences += [_clean(each.photo.description, 200)] if each.photo.description else []
    sentences += [f"Mood: {_clean(wish.brief, 200)}"] if wish.brief else []
    sentences += [f"Style: {_clean(wish.brand_guidelines, 150)}"] if wish.brand_guidelines else []
    sentences.append("Steady, photorealistic, natural light; keep everything in the photo as it is")
    return Scene(
        each.photo.asset_id, ". ".join(sentences) + ".", wish.scene_seconds, _reason(each, number, told, of)
    )


def _reason(each: Candidate, number: int, told: Sequence[Candidate], of: int) -> str:
    place = f" of {each.subject.place}" if each.subject.place else ""
    name = each.photo.name or each.photo.asset_id
    if each in told[:number]:
        return f"{name} again, with another camera move: there are fewer photos than scenes"
    quality = (
        f"score {each.score:.2f} for sharpness, size and light" if each.look else "it could not be looked at"
    )
    return f"{each.subject.group}{place}: {name}, chosen from {of} ({quality})"


def _clean(text: str, longest: int) -> str:
    return " ".join(text.split())[:longest].rstrip(" .")
