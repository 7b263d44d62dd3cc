"""The fields that people send beside a file, whatever the form they are sent in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.core.problems.domain.field_problems import refuse
from gateway.core.problems.domain.suggestions import unknown
from servicekit.errors import FieldProblem

TEXTS = ("name", "description", "client_id", "campaign_id", "type")
KNOWN = (*TEXTS, "tags", "metadata")


@dataclass
class AssetFields:
    """What an asset is called, shows and belongs to. `type` is "image", "audio" or "" for whatever it is."""

    name: str = ""
    description: str | None = None
    client_id: str = ""
    campaign_id: str = ""
    type: str = ""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None


def from_form(parts: list[tuple[str, str]]) -> AssetFields:
    """Read the fields of a form.

    Tags may be repeated, separated by commas, or one JSON list; metadata is a JSON object. Empty values
    count as left out.

    Raises:
        Invalid: naming each field that is unknown, said twice, or unreadable.
    """
    found, problems, seen = AssetFields(), [], set()
    for name, text in parts:
        if name not in KNOWN:
            problems.append(FieldProblem(name[:64], unknown("field", name, (*KNOWN, "file"))))
        elif not text.strip():
            continue
        elif name == "tags":
            try:
                found.tags += _tags(text)
            except ValueError as error:
                problems.append(FieldProblem(name, str(error)))
        elif name in seen:
            problems.append(FieldProblem(name, "stands twice; once is enough"))
        elif name == "metadata":
            try:
                found.metadata = _object(text)
            except ValueError as error:
                problems.append(FieldProblem(name, str(error)))
        else:
            setattr(found, name, text)
        seen.add(name)
    refuse(problems)
    return found


def _tags(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [tag for part in text.split(",") if (tag := part.strip())]
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError):
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError('must be words with commas between them, or a JSON list of texts such as ["a", "b"]')
    return [tag.strip() for tag in tags if tag.strip()]


def _object(text: str) -> dict[str, Any]:
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise ValueError(  # noqa: TRY004  # a text of the wrong content, not an argument of the wrong type
            'must be a JSON object such as {"room": "kitchen"}'
        )
    return held
