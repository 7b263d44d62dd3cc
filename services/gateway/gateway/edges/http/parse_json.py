"""Parses the JSON of a request body: UTF-8, no name twice, not too deep, or a clear refusal."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from servicekit.errors import Invalid

DEEPEST = 24
"""Levels of objects and lists in a body. Each costs up to three levels of messages, and gRPC's parsers
stop at a hundred."""


def parse(body: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        Invalid: without fields, which is 400: it is not JSON, says a name twice, or is nested too deeply.
    """
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8 at byte {error.start}", code="malformed") from error
    except json.JSONDecodeError as error:
        raise Invalid(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            code="malformed",
        ) from error
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # a whole number of thousands of digits
        raise Invalid("the body holds a number with too many digits", code="malformed") from error
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        count = Counter(name for name, _ in pairs)
        twice = next(name for name in value if count[name] > 1)
        raise Invalid(f"the body says {twice[:64]!r} twice in one object", code="malformed")
    return value


def _no_constant(name: str) -> NoReturn:
    raise Invalid(f"the body is not JSON: {name} is no JSON number", code="malformed")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Invalid:
    return Invalid(f"the body is nested too deeply: at most {DEEPEST} levels", code="malformed")
