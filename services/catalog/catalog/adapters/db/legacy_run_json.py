"""Reads runs from their JSON documents, also from those that were stored before a run named its assets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from catalog.adapters.db.json_columns import load
from catalog.core.shared.domain import RunSpec

_REFERENCE = re.compile(r"asset:(ast_[0-9A-Z]{26})")


def make_run(document: Mapping[str, Any]) -> RunSpec:
    """The run of a document. For an old one, every asset that its input names anywhere is a file.

    Otherwise a run that was recorded, or planned, before the upgrade would be submitted with the text
    `asset:<id>` in place of its photo.
    """
    run = load(RunSpec, document)
    return run if "assets" in document else replace(run, assets=tuple(dict.fromkeys(_asset_ids(run.input))))


def _asset_ids(value: Any) -> Iterator[str]:
    if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        yield match[1]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from _asset_ids(part)
