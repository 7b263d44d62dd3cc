"""Makes and checks ids: a prefix that names the kind of record, and a ULID, which sorts by time."""

from __future__ import annotations

import re
from datetime import datetime

from ulid import ULID

from servicekit.errors import Invalid

PREFIXES: dict[str, str] = {
    "job": "job",
    "generation": "gen",
    "asset": "ast",
    "media": "med",
    "client": "cli",
    "campaign": "cmp",
    "scene": "scn",
    "attempt": "att",
    "api_key": "key",
}
"""The kinds of records, and what their ids start with."""

# Crockford's base 32, without I, L, O, U; 26 digits hold 130 bits and a ULID has 128: the first is 0 to 7.
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}
_SHOWN = 40


def new_id(kind: str) -> str:
    """Make the id of a new record, such as `job_01JC…` for the kind "job".

    Raises:
        KeyError: the kind is not one of `PREFIXES`.
    """
    return f"{PREFIXES[kind]}_{ULID()}"


def check_id(value: str, kind: str, *, field: str = "id") -> str:
    """Answer the id when it is one of that kind.

    Raises:
        Invalid: it is not; the error names the field, the value and, when the id is that of another
            kind of record, which kind that is.
        KeyError: the kind is not one of `PREFIXES`.
    """
    wanted = PREFIXES[kind]
    prefix, _, rest = value.partition("_")
    if prefix == wanted and _ULID.fullmatch(rest):
        return value
    shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    other = _KINDS.get(prefix)
    if other is not None and other != kind and _ULID.fullmatch(rest):
        message = f"{shown!r} is the id of {_named(other)}; {_named(kind)} id starts with {wanted}_"
    else:
        message = f"{shown!r} is not {_named(kind)} id: {wanted}_ and a ULID of 26 characters in upper case"
    raise Invalid.field(field, message)


def made_at(record_id: str) -> datetime:
    """When the id was made, to the millisecond (UTC). ValueError: it is none."""
    return ULID.from_str(record_id.partition("_")[2]).datetime


def _named(kind: str) -> str:
    word = kind.replace("_", " ")
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
