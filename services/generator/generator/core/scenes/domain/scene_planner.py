"""Chooses scenes from photos: groups and scores them, leaves out repetitions, orders them as a visit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.core.scenes.domain.photos import Photo, PhotoFeatures, PhotoLabel, label_photo

NEAR_DUPLICATE = 8
"""Bits of 64 by which two difference hashes may differ and still show nearly the same."""

_FULL_HD = 1920 * 1080
_SHARP = 600.0
"""Variance of the Laplacian (256 px wide, 0 to 255) at which a photo counts as quite sharp."""


@dataclass(frozen=True)
class ScenePlanRequest:
    """How many scenes are wanted, how long each, and for what."""

    scene_count: int
    scene_seconds: float
    brief: str = ""
    brand_guidelines: str = ""
    width: int = 1920
    height: int = 1080


@dataclass(frozen=True)
class PlannedScene:
    """A chosen scene: the photo it starts from, what should be seen, and why."""

    asset_id: str
    prompt: str
    seconds: float
    reason: str


@dataclass(frozen=True)
class ScoredPhoto:
    """A photo with what it shows and how good it is (0 to 1)."""

    photo: Photo
    label: PhotoLabel
    features: PhotoFeatures | None
    score: float


def plan_scenes(
    photos: Sequence[Photo], features: Mapping[str, PhotoFeatures], request: ScenePlanRequest
) -> list[PlannedScene]:
    """Exactly `scene_count` scenes, from at least one photo; one is used again when there are too few."""
    scored = [score_photo(photo, features.get(photo.asset_id), request) for photo in photos]
    readable = [each for each in scored if each.features is not None] or scored
    chosen = _choose(_photos_of_one_place(readable, request), readable, request.scene_count)
    ordered = sorted(
        chosen, key=lambda each: (each.label.order, each.label.group, -each.score, each.photo.asset_id)
    )
    shots = [ordered[place % len(ordered)] for place in range(request.scene_count)]
    return [_scene(each, place, shots, request, len(photos)) for place, each in enumerate(shots)]


def score_photo(photo: Photo, features: PhotoFeatures | None, request: ScenePlanRequest) -> ScoredPhoto:
    """The photo with its score: half sharpness, a quarter resolution, the rest light and fit to the frame."""
    if features is None:
        return ScoredPhoto(photo, label_photo(photo), None, 0.0)
    sharpness = min(math.log1p(features.sharpness) / math.log1p(_SHARP), 1.0)
    resolution = min(math.sqrt(max(photo.width * photo.height, 0) / _FULL_HD), 1.0)
    score = (
        0.45 * sharpness
        + 0.25 * resolution
        + 0.1 * features.exposure
        + 0.1 * features.contrast
        + 0.1 * _share_in_frame(photo, request)
    )
    return ScoredPhoto(photo, label_photo(photo), features, score)


def _share_in_frame(photo: Photo, request: ScenePlanRequest) -> float:
    """How much of the photo a frame of the cut's shape shows, 0 to 1."""
    if min(photo.width, photo.height, request.width, request.height) <= 0:
        return 0.5
    has, needs = photo.width / photo.height, request.width / request.height
    return min(has, needs) / max(has, needs)


def _photos_of_one_place(scored: Sequence[ScoredPhoto], request: ScenePlanRequest) -> list[ScoredPhoto]:
    """The photos of one place when it can fill the advert: one that jumps between houses confuses.

    A place that the brief names wins; else the one with the best photos. All photos when no place shows as
    many different things as there are scenes (or as there are at all).
    """
    places: dict[str, list[ScoredPhoto]] = defaultdict(list)
    for each in scored:
        places[each.label.place].append(each)
    needed = min(request.scene_count, len({each.label.group for each in scored}))
    brief = request.brief.lower().replace(" ", "")
    sufficient = {
        place: group
        for place, group in places.items()
        if place and len({each.label.group for each in group}) >= needed
    }
    if not sufficient:
        return list(scored)
    named = [place for place in sufficient if place.replace(" ", "") in brief]
    best = max(
        named or sufficient, key=lambda place: (_best_scores(sufficient[place], request.scene_count), place)
    )
    return sufficient[best]


def _best_scores(photos: Sequence[ScoredPhoto], count: int) -> float:
    """The sum of the `count` best scores, one for each group of things shown."""
    best: dict[str, float] = defaultdict(float)
    for each in photos:
        best[each.label.group] = max(best[each.label.group], each.score)
    return sum(sorted(best.values(), reverse=True)[:count])


def _choose(
    preferred: Sequence[ScoredPhoto], everything: Sequence[ScoredPhoto], count: int
) -> list[ScoredPhoto]:
    """Up to `count` different photos: a new group before a present one, nothing that nearly repeats another.

    What nearly repeats another is taken when there is nothing else.
    """
    chosen: list[ScoredPhoto] = []
    for pool, distance in (
        (preferred, NEAR_DUPLICATE),
        (everything, NEAR_DUPLICATE),
        (preferred, -1),
        (everything, -1),
    ):
        left = sorted(pool, key=lambda each: (-each.score, each.photo.asset_id))
        while left and len(chosen) < count:
            groups = [each.label.group for each in chosen]
            left = [each for each in left if each not in chosen and not _repeats(each, chosen, distance)]
            if not left:
                break
            chosen.append(min(left, key=lambda each: (groups.count(each.label.group), -each.score)))
    return chosen


def _repeats(one: ScoredPhoto, chosen: Sequence[ScoredPhoto], distance: int) -> bool:
    """Whether a photo differs from a chosen one by at most `distance` bits; never when that is negative."""
    if distance < 0:
        return False
    if any(one.photo.sha256 and one.photo.sha256 == other.photo.sha256 for other in chosen):
        return True
    return one.features is not None and any(
        other.features is not None
        and (one.features.fingerprint ^ other.features.fingerprint).bit_count() <= distance
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


def _scene(
    shot: ScoredPhoto, place: int, shots: Sequence[ScoredPhoto], request: ScenePlanRequest, photo_count: int
) -> PlannedScene:
    group = shot.label.group
    sentences = [f"{_OPENINGS.get(group, f'A view of the {group}')}; {_MOVES[place % len(_MOVES)]}"]
    sentences += [_clean(shot.photo.description, 200)] if shot.photo.description else []
    sentences += [f"Mood: {_clean(request.brief, 200)}"] if request.brief else []
    sentences += [f"Style: {_clean(request.brand_guidelines, 150)}"] if request.brand_guidelines else []
    sentences.append("Steady, photorealistic, natural light; keep everything in the photo as it is")
    return PlannedScene(
        shot.photo.asset_id,
        ". ".join(sentences) + ".",
        request.scene_seconds,
        _reason(shot, repeated=shot in shots[:place], photo_count=photo_count),
    )


def _reason(shot: ScoredPhoto, *, repeated: bool, photo_count: int) -> str:
    place = f" of {shot.label.place}" if shot.label.place else ""
    name = shot.photo.name or shot.photo.asset_id
    if repeated:
        return f"{name} again, with another camera move: there are fewer photos than scenes"
    quality = (
        f"score {shot.score:.2f} for sharpness, size and light" if shot.features else "it could not be read"
    )
    return f"{shot.label.group}{place}: {name}, chosen from {photo_count} ({quality})"


def _clean(text: str, longest: int) -> str:
    return " ".join(text.split())[:longest].rstrip(" .")
