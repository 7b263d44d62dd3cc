"""What a photo shows and where it was taken, from its tags, name and description."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generator.core.runs.ports import Photo

# (group, its place in the story, words that tell it). The story walks from the street to the garden.
_GROUPS: tuple[tuple[str, int, frozenset[str]], ...] = (
    (
        "exterior",
        0,
        frozenset(
            [
                "frontal",
                "front",
                "exterior",
                "facade",
                "outside",
                "outdoor",
                "street",
                "aerial",
                "drone",
                "building",
                "entrance",
                "house",
            ]
        ),
    ),
    (
        "hall",
        1,
        frozenset(
            ["hall", "hallway", "lobby", "foyer", "corridor", "stairs", "staircase", "reception", "entry"]
        ),
    ),
    (
        "living room",
        2,
        frozenset(["living", "lounge", "sitting", "livingroom", "salon", "family", "fireplace", "sofa"]),
    ),
    ("kitchen", 3, frozenset(["kitchen", "kitchenette", "cooking"])),
    ("dining room", 4, frozenset(["dining", "diningroom", "breakfast", "restaurant", "table"])),
    ("bedroom", 5, frozenset(["bedroom", "bed", "sleeping", "suite", "guestroom", "nursery"])),
    ("bathroom", 6, frozenset(["bathroom", "bath", "shower", "toilet", "washroom", "ensuite", "wc"])),
    ("office", 7, frozenset(["office", "study", "desk", "workspace", "library"])),
    ("leisure", 8, frozenset(["gym", "spa", "sauna", "pool", "swimming"])),
    ("garden", 9, frozenset(["garden", "yard", "backyard", "patio", "terrace", "balcony", "deck", "view"])),
)
_MIDDLE = 6.5
"""Where a group that nobody listed stands in the story."""

# "house" also stands in names of places ("house042_kitchen"): it tells the group when nothing else does.
_WEAK = frozenset({"house", "building", "table", "view", "entrance", "suite"})
_NOISE = frozenset(
    [
        "img",
        "dsc",
        "dscn",
        "dscf",
        "pxl",
        "photo",
        "image",
        "picture",
        "pic",
        "scan",
        "screenshot",
        "untitled",
        "copy",
        "final",
        "edit",
        "jpg",
        "jpeg",
        "png",
        "webp",
        "gif",
        "mvimg",
        "wa",
    ]
)
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class Subject:
    """What a photo shows (`group`), its place in the story, and the place it was taken at ("house 042")."""

    group: str
    order: float
    place: str


def subject(photo: Photo) -> Subject:
    """Tags tell most, then the name, then the description; numbers in the name identify the place."""
    name = re.sub(r"\.[A-Za-z0-9]{2,5}$", "", photo.name)
    place = _place(name)
    words = _words(name)
    named = [word for word in words if word not in place.split()] or words
    sources = [_words(" ".join(photo.tags)), named, _words(photo.description)]
    for weak in (False, True):
        for source in sources:
            for group, order, known in _GROUPS:
                told = (word for word in source if word in known or word.rstrip("s") in known)
                if any((word in _WEAK) is weak for word in told):
                    return Subject(group, order, place)
    return Subject(_own_group(photo, named), _MIDDLE, place)


def _own_group(photo: Photo, name_words: list[str]) -> str:
    """The first tag, else the last telling word of the name ("house042_winecellar" is of the wine cellar)."""
    if photo.tags and (tag := photo.tags[0].strip().lower()):
        return tag
    telling = [word for word in name_words if not word.isdigit() and word not in _NOISE and len(word) > 2]
    return telling[-1] if telling else "photo"


def _place(name: str) -> str:
    """The word and number that a name begins with, "house 042"; empty for counters of cameras (IMG_2041)."""
    match = re.match(r"([^\W\d_]+)[\s_-]?(\d{1,6})", name.lower())
    if match is None or match[1] in _NOISE or any(match[1] in known - _WEAK for _, _, known in _GROUPS):
        return ""
    return f"{match[1]} {match[2]}"


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", text))]
