"""Describes the photos that scenes are chosen from: their measures, what they show, and where it is."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Photo:
    """A photo to choose from."""

    asset_id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    blob_key: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class PhotoFeatures:
    """What a photo looks like.

    Args:
        sharpness: variance of the Laplacian, 256 pixels wide, from 0 up.
        exposure: 0 (black, white or clipped) to 1.
        contrast: 0 to 1.
        fingerprint: a difference hash of 64 bits; photos that show nearly the same differ in few.
    """

    sharpness: float
    exposure: float
    contrast: float
    fingerprint: int


# (group, its place in a visit, words that mean it). The visit goes from the street to the garden.
_GROUPS: tuple[tuple[str, int, frozenset[str]], ...] = (
    ("exterior", 0, frozenset([
        "frontal", "front", "exterior", "facade", "outside", "outdoor", "street", "aerial", "drone",
        "building", "entrance", "house"
    ])),
    ("hall", 1, frozenset([
        "hall", "hallway", "lobby", "foyer", "corridor", "stairs", "staircase", "reception", "entry"
    ])),
    ("living room", 2, frozenset([
        "living", "lounge", "sitting", "livingroom", "salon", "family", "fireplace", "sofa"
    ])),
    ("kitchen", 3, frozenset(["kitchen", "kitchenette", "cooking"])),
    ("dining room", 4, frozenset(["dining", "diningroom", "breakfast", "restaurant", "table"])),
    ("bedroom", 5, frozenset(["bedroom", "bed", "sleeping", "suite", "guestroom", "nursery"])),
    ("bathroom", 6, frozenset(["bathroom", "bath", "shower", "toilet", "washroom", "ensuite", "wc"])),
    ("office", 7, frozenset(["office", "study", "desk", "workspace", "library"])),
    ("leisure", 8, frozenset(["gym", "spa", "sauna", "pool", "swimming"])),
    ("garden", 9, frozenset(["garden", "yard", "backyard", "patio", "terrace", "balcony", "deck", "view"])),
)  # fmt: skip
_UNLISTED_ORDER = 6.5
"""Where a group that is not listed here stands in a visit."""

# "house" also stands in names of places ("house042_kitchen"): it means a group when no other word does.
_WEAK_WORDS = frozenset({"house", "building", "table", "view", "entrance", "suite"})
_MEANINGLESS = frozenset([
    "img", "dsc", "dscn", "dscf", "pxl", "photo", "image", "picture", "pic", "scan", "screenshot",
    "untitled", "copy", "final", "edit", "jpg", "jpeg", "png", "webp", "gif", "mvimg", "wa"
])  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class PhotoLabel:
    """What a photo shows (`group`), its place in a visit, and the place it was taken at ("house 042")."""

    group: str
    order: float
    place: str


def label_photo(photo: Photo) -> PhotoLabel:
    """By its tags, else its name, else its description; a number in the name identifies the place."""
    name = re.sub(r"\.[A-Za-z0-9]{2,5}$", "", photo.name)
    place = _place(name)
    words = _words(name)
    name_words = [word for word in words if word not in place.split()] or words
    sources = [_words(" ".join(photo.tags)), name_words, _words(photo.description)]
    for weak in (False, True):
        for source in sources:
            for group, order, meaning in _GROUPS:
                matching = (word for word in source if word in meaning or word.rstrip("s") in meaning)
                if any((word in _WEAK_WORDS) is weak for word in matching):
                    return PhotoLabel(group, order, place)
    return PhotoLabel(_own_group(photo, name_words), _UNLISTED_ORDER, place)


def _own_group(photo: Photo, name_words: list[str]) -> str:
    """The first tag, else the last meaningful word of the name: "house042_winecellar" shows a winecellar."""
    if photo.tags and (tag := photo.tags[0].strip().lower()):
        return tag
    meaningful = [
        word for word in name_words if not word.isdigit() and word not in _MEANINGLESS and len(word) > 2
    ]
    return meaningful[-1] if meaningful else "photo"


def _place(name: str) -> str:
    """The word and number that a name begins with, "house 042"; empty for counters of cameras (IMG_2041)."""
    match = re.match(r"([^\W\d_]+)[\s_-]?(\d{1,6})", name.lower())
    if match is None or match[1] in _MEANINGLESS:
        return ""
    if any(match[1] in meaning - _WEAK_WORDS for _, _, meaning in _GROUPS):
        return ""
    return f"{match[1]} {match[2]}"


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", text))]
