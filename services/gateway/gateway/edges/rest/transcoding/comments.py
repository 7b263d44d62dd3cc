"""Finds the comments of the contracts, by the full name of what they stand over."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from gateway.edges.rest.transcoding.descriptors import image

_DECLARATIONS = ("message_type", "nested_type", "enum_type", "service", "field", "value", "method")
"""Fields of descriptors that list what has a name; their numbers make the places in a source file."""


@cache
def comments() -> dict[str, str]:
    """Leading comments as one paragraph each: `rushes.catalog.v1.Job.paused` → "Whether new …"."""
    found: dict[str, str] = {}
    for file in image().file:
        texts = {
            tuple(place.path): " ".join(place.leading_comments.split())
            for place in file.source_code_info.location
            if place.leading_comments
        }
        for path, name in _names(file, (), file.package):
            if path in texts:
                found[name] = texts[path]
    return found


def _names(part: Any, path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """The place in the source file, and the full name, of everything that a part of it declares."""
    for field, declared in part.ListFields():
        for index, each in enumerate(declared if field.name in _DECLARATIONS else ()):
            name, place = f"{scope}.{each.name}", (*path, field.number, index)
            yield place, name
            yield from _names(each, place, name)
