"""Makes and checks ids: a prefix that names the kind of record, and a ULID, which sorts by time.

The contracts list the kinds and their prefixes (`rushes.common.v1.IdKind`). The list is found by its name in
the default descriptor pool, so that this library needs no contract; whoever uses it has loaded one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool
from ulid import ULID

from servicekit.errors import Invalid

_ENUM, _PREFIX = "rushes.common.v1.IdKind", "rushes.common.v1.id_prefix"

# Crockford's base 32, without I, L, O, U; 26 digits hold 130 bits and a ULID has 128: the first is 0 to 7.
_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_SHOWN = 40


@cache
def prefixes() -> Mapping[str, str]:
    """The kinds of records, and what their ids begin with: "api_key" → "key".

    Raises:
        KeyError: no contract is loaded.
    """
    pool = descriptor_pool.Default()
    prefix: Any = pool.FindExtensionByName(_PREFIX)
    found = {
        value.name.removeprefix("ID_KIND_").lower(): value.GetOptions().Extensions[prefix]
        for value in pool.FindEnumTypeByName(_ENUM).values
    }
    return {kind: text for kind, text in found.items() if text}


def pattern(kind: str) -> str:
    """The regular expression of ids of that kind. KeyError: there is no such kind."""
    return f"{prefixes()[kind]}_{_ULID}"


def new_id(kind: str) -> str:
    """The id of a new record, such as `job_01JC…` for the kind "job". KeyError: there is no such kind."""
    return f"{prefixes()[kind]}_{ULID()}"


def check_id(value: str, kind: str, *, field: str = "id") -> str:
    """Answer the id when it is one of that kind.

    Raises:
        Invalid: it is not; the error names the field, the value and, when the id is that of another
            kind of record, which kind that is.
        KeyError: there is no such kind.
    """
    if re.fullmatch(pattern(kind), value):
        return value
    shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    wanted = prefixes()[kind]
    other = next((other for other in prefixes() if re.fullmatch(pattern(other), value)), None)
    if other is not None:
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
