"""Reads the two request headers of a create: `Prefer: wait` and `Cancel-After`."""

from __future__ import annotations

import re

_WAIT = re.compile(r"^wait(?:=([1-9]|[1-5][0-9]|60))?$")
_SPAN = re.compile(r"^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$")
SHORTEST_S, LONGEST_S = 5, 24 * 3600


def wait_seconds(value: str) -> float | None:
    """How long a create waits for its end: 1 to 60 seconds, 60 for a bare `wait`; None: it does not wait."""
    found = _WAIT.match(value.strip())
    if not found:
        return None
    return float(found.group(1) or 60)


def cancel_after_seconds(value: str) -> int:
    """Seconds of a duration such as `30`, `30s`, `5m`, `2h` or `1h30m45s`.

    Raises:
        ValueError: not of that form, or outside 5 seconds to 24 hours.
    """
    found = _SPAN.match(value.strip())
    if not found or not value.strip():
        raise ValueError(f"Cancel-After {value!r} is not a duration such as 30, 30s, 5m or 1h30m45s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not SHORTEST_S <= total <= LONGEST_S:
        raise ValueError(f"Cancel-After {value!r} must be between 5 seconds and 24 hours")
    return total
