"""Finds the comments of the contracts, by the full name of what they stand over."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from gateway.edges.rest.transcoding.descriptors import image

# Field numbers within descriptors, of which the places in a source file are made.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM, _VALUE, _METHOD = 2, 3, 4, 2, 2


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
        for path, name in _names(file):
            if path in texts:
                found[name] = texts[path]
    return found


def _names(file: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _message((_MESSAGE, index), f"{file.package}.{message.name}", message)
    for index, enum in enumerate(file.enum_type):
        yield from _enum((_ENUM, index), file.package, enum)
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (_SERVICE, index), name
        for place, method in enumerate(service.method):
            yield (_SERVICE, index, _METHOD, place), f"{name}.{method.name}"


def _message(path: tuple[int, ...], name: str, message: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _FIELD, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message((*path, _NESTED, index), f"{name}.{nested.name}", nested)
    for index, enum in enumerate(message.enum_type):
        yield from _enum((*path, _NESTED_ENUM, index), name, enum)


def _enum(path: tuple[int, ...], scope: str, enum: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{enum.name}"
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, _VALUE, index), f"{name}.{value.name}"
