"""Runs of their documents, also of those that were written before a run told its files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from catalog.adapters.db.json_columns import load
from catalog.core.shared.domain import RunSpec

_REFERENCE = re.compile(r"asset:(ast_[0-9A-Z]{26})")


def make_run(document: Mapping[str, Any]) -> RunSpec:
    """The run. An older one has the files that its input names anywhere: so it was sent then.

    Without them a run that was recorded, or shown in a plan, before an upgrade would be bought with the
    text `asset:<id>` in place of its photo.
    """
    run = load(RunSpec, document)
    return run if "assets" in document else replace(run, assets=tuple(dict.fromkeys(_named(run.input))))


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        yield match[1]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from _named(part)
