"""Determines what a refusal or an error of the provider means: its code, whether to try again, and when."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from generator.core.runs.domain.prediction import Prediction


@dataclass(frozen=True)
class Error:
    """How something failed, and whether to try again.

    Args:
        message: the provider's own words where it gave some.
        retry_after: seconds to wait before trying again.
        most_retries: how often at most after this code; None: as often as catalog allows.
    """

    code: str
    message: str
    retryable: bool = False
    retry_after: float = 0.0
    most_retries: int | None = None


class RefusalReason(StrEnum):
    """Why the provider did not run anything."""

    LIMITED = "limited"
    NO_CREDIT = "no_credit"
    NO_TOKEN = "no_token"  # noqa: S105  # a word, no secret
    UNREACHED = "unreached"
    INPUT = "input"
    MISSING = "missing"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True)
class Accepted:
    """The provider has it: money is being spent."""

    prediction: Prediction


@dataclass(frozen=True)
class Refused:
    """Nothing ran and nothing is owed.

    Args:
        status: of HTTP; 0 when the provider was not reached.
        spacing: seconds between starts that the provider demands from now on; 0: none.
    """

    status: int
    text: str
    reason: RefusalReason
    retry_after: float | None = None
    spacing: float = 0.0


@dataclass(frozen=True)
class Unknown:
    """It may have run: a timeout, a reset, a 5xx or an answer that cannot be read, after sending."""

    reason: str


SubmissionOutcome = Accepted | Refused | Unknown

_CODE = re.compile(r"\((?:code: )?(E\d{3,4}|PA)\)")

# docs/provider.md, Limits and errors: code → (try again with the same input, after that many seconds).
_CODES: dict[str, tuple[bool, float]] = {
    "E1000": (True, 5.0),
    "E1001": (False, 0.0),
    "E4875": (False, 0.0),
    "E6716": (True, 10.0),
    "E8367": (True, 5.0),
    "E8765": (True, 120.0),
    "E9243": (True, 5.0),
    "E9825": (True, 5.0),
    "E9828": (True, 5.0),
    "PA": (True, 2.0),
    "E003": (True, 60.0),
    "E004": (True, 15.0),
    "E005": (False, 0.0),
    "E006": (False, 0.0),
}

_MOST_RETRIES = {"E9243": 2, "E9825": 1}
"""How often at most a code is tried again, where that table says so."""

# Texts without a code; the first that matches counts.
_TEXTS: tuple[tuple[str, str, bool, float], ...] = (
    (r"nsfw|flagged as sensitive|content polic|safety", "refused_content", False, 0.0),
    (r"cuda out of memory|out of memory", "out_of_memory", False, 0.0),
    (r"please retry|interrupted", "interrupted", True, 2.0),
    (r"high demand|temporarily unavailable|try again later|overloaded", "busy", True, 60.0),
    (r"timed? ?out", "timeout", True, 10.0),
)

LIMIT_MARGIN = 1.0
"""Seconds added to the wait of a 429: a retry inside the window counts again (docs/provider.md)."""

LIMIT_DEFAULT = 10.0
"""Seconds to wait after a 429 that does not say how long."""

LONGEST_WAIT = 3600.0

LONGEST_TEXT = 20_000
"""Characters of an error that are kept: an event has to carry them."""


def classify_error(text: str) -> Error:
    """The meaning of the `error` of a failed prediction. What is not in the tables is not paid for again."""
    text = text.strip()[:LONGEST_TEXT] or "the provider gave no reason"
    if codes := _CODE.findall(text):
        # The platform's own code stands at the end; what looks like one before it may be the model's words.
        code = next((code for code in reversed(codes) if code in _CODES), codes[-1])
        retryable, retry_after = _CODES.get(code, (False, 0.0))
        return Error(code, text, retryable, retry_after, _MOST_RETRIES.get(code))
    for pattern, code, retryable, retry_after in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return Error(code, text, retryable, retry_after)
    return Error("failed", text)


_REFUSALS = {
    401: RefusalReason.NO_TOKEN,
    402: RefusalReason.NO_CREDIT,
    403: RefusalReason.FORBIDDEN,
    404: RefusalReason.MISSING,
    409: RefusalReason.LIMITED,
    429: RefusalReason.LIMITED,
}


def read_refusal(status: int, headers: Mapping[str, str], body: str) -> Refused:
    """The meaning of a 4xx answer to a create. `headers` in lower case; `body` as it came."""
    parsed = _parse(body)
    text = _detail(parsed, body)
    reason = _REFUSALS.get(status, RefusalReason.INPUT)
    if reason is not RefusalReason.LIMITED:
        return Refused(status, text, reason)
    return Refused(status, text, reason, limit_wait(headers, parsed, text), low_credit_spacing(text))


def limit_wait(headers: Mapping[str, str], body: Mapping[str, Any], text: str) -> float:
    """Seconds to wait after a 429: from the header, else the body, else the text; plus the margin."""
    candidates = [headers.get("retry-after"), _until(headers), body.get("retry_after")]
    if match := re.search(r"~\s?(\d+(?:\.\d+)?)\s?s|in (\d+(?:\.\d+)?) ?s(?:ec|\b)", text):
        candidates.append(match[1] or match[2])
    for candidate in candidates:
        try:
            seconds = float(candidate)  # type: ignore[arg-type]  # what is no number is passed over
        except (TypeError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return min(seconds, LONGEST_WAIT) + LIMIT_MARGIN
    return LIMIT_DEFAULT + LIMIT_MARGIN


def _until(headers: Mapping[str, str]) -> float | None:
    """Seconds until the date that `Retry-After` may be, by the provider's own clock (`Date`)."""
    try:
        until, now = (parsedate_to_datetime(headers.get(name, "")) for name in ("retry-after", "date"))
        return max((until - now).total_seconds(), 0.0)
    except (ValueError, TypeError):  # no date, or one with a zone and one without
        return None


def low_credit_spacing(text: str) -> float:
    """Seconds between starts where the rate was cut ("reduced to 6 requests per minute"); else 0."""
    match = re.search(r"reduced to (\d+) requests? per (second|minute|hour)", text)
    if not match or int(match[1]) == 0:
        return 0.0
    return {"second": 1.0, "minute": 60.0, "hour": 3600.0}[match[2]] / int(match[1])


def _parse(body: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, Mapping) else {}


def _detail(parsed: Mapping[str, Any], body: str) -> str:
    """The sentence in a problem document: `detail` is a text at Replicate and a list at Cog."""
    detail = parsed.get("detail") or parsed.get("title") or parsed.get("error")
    if isinstance(detail, list):
        detail = "; ".join(
            f"{'.'.join(map(str, d.get('loc', ())))}: {d.get('msg', d)}" if isinstance(d, Mapping) else str(d)
            for d in detail
        )
    return str(detail or re.sub(r"<[^>]*>|\s+", " ", body)).strip()[:2000] or "the provider gave no reason"
