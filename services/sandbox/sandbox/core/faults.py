"""Lists the faults that the sandbox can commit, and decides by rules when one strikes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = dict[str, Any]
Phase = Literal["prediction", "request", "webhook", "file"]
ROUTES = (
    "create", "get", "list", "cancel", "models", "collections", "uploads", "files", "webhook", "any",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One fault: when it strikes, and what a client then sees."""

    phase: Phase
    effect: str
    error: str = ""


def _fails(error: str, *, late: bool = True) -> Fault:
    when = "after it started" if late else "before it started"
    return Fault("prediction", f"the prediction fails {when}: `{error}`", error)


FAULTS: dict[str, Fault] = {
    "E003": _fails("Service is currently unavailable due to high demand. Please try again later. (E003)"),
    "E004": _fails("Service is temporarily unavailable. Please try again later. (E004)"),
    "E005": _fails(
        "The input or output was flagged as sensitive. "
        "Please try again with different inputs. (E005) (uIJ6l3ruRD)"
    ),
    "E006": _fails("The input was invalid. Please check the parameters and try again. (E006)"),
    "E1001": _fails("Prediction failed: the model ran out of memory and was killed (E1001)"),
    "E6716": _fails("Director: unexpected error handling prediction (E6716)", late=False),
    "E8765": _fails("Model health check failed (E8765)", late=False),
    "E9828": _fails("Director: unexpected error handling prediction (E9828)", late=False),
    "PA": _fails("Prediction interrupted; please retry (code: PA)"),
    "plain_error": _fails("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "stuck_starting": Fault("prediction", "stays `starting` until canceled or past its deadline"),
    "stuck_processing": Fault("prediction", "stays `processing` until canceled or past its deadline"),
    "aborted": Fault("prediction", "ends as `aborted` before it started"),
    "data_removed": Fault("prediction", "succeeds, but its output is removed at once (`data_removed: true`)"),
    "output_inline": Fault("prediction", "the output is a `data:` URI instead of an address"),
    "429_header": Fault("request", "429 whose wait stands in `Retry-After` alone (`retry_after`, 3 s)"),
    "429_body": Fault(
        "request", "429 whose wait stands in the body's `retry_after` alone: the low-credit form"
    ),
    "429_text": Fault("request", "429 whose wait stands only in the sentence of `detail`"),
    "402": Fault("request", "402 Insufficient credit"),
    "401": Fault("request", "401 although the token is right"),
    "500_html": Fault(
        "request", "500 with an HTML page; `accept: true` handles (and charges) the request first"
    ),
    "503": Fault("request", "503 with plain text; `accept: true` handles the request first"),
    "slow": Fault("request", "the answer comes after `seconds` (5)"),
    "hang": Fault(
        "request", "the request is handled and charged, no answer ever comes; `accept: false` only hangs"
    ),
    "reset": Fault(
        "request", "handled and charged, then the connection is reset; `accept: false` only resets"
    ),
    "sync_processing": Fault("request", "a create with `Prefer: wait` that ran out answers `processing`"),
    "webhook_lost": Fault("webhook", "the message is never sent, nor retried"),
    "webhook_doubled": Fault("webhook", "the message is sent `times` (2) times under one id"),
    "webhook_late": Fault("webhook", "the message is sent after `seconds` (30)"),
    "webhook_reordered": Fault(
        "webhook", "an earlier `processing` snapshot follows after the terminal message"
    ),
    "webhook_bad_signature": Fault("webhook", "the message is signed with another secret"),
    "output_truncated": Fault("file", "the body stops at `fraction` (0.5) of the announced length"),
    "output_short": Fault("file", "the file itself is cut at `fraction` (0.5), with its length"),
    "output_corrupted": Fault("file", "the middle of the file is overwritten with noise, the length stays"),
    "output_swapped": Fault("file", "at a resume (Range) the file has become another one with another ETag"),
    "range_ignored": Fault("file", "200 with the whole file for a range"),
    "range_416": Fault("file", "416 for a range that is fine"),
    "output_html": Fault("file", "200 with an HTML page"),
    "slow_drip": Fault("file", "`chunk` (1024) bytes every `seconds` (0.2)"),
    "redirect_private": Fault("file", "302 to `location` (http://169.254.169.254/latest/meta-data/)"),
    "output_expired_403": Fault("file", "403 as if the address had expired"),
    "output_expired_404": Fault("file", "404 as if the address had expired"),
    "output_500": Fault("file", "500 with an HTML page"),
    "output_reset": Fault("file", "the connection is reset at `fraction` (0.5) of the body"),
}


@dataclass
class FaultRule:
    """A fault strikes where `model` and `route` fit (None fits all), `count` times or with a probability.

    `seen` counts its chances: after a restart, a seeded probability goes on where it stood.
    """

    id: str
    fault: str
    model: str | None = None
    route: str | None = None
    event: str | None = None
    count: int | None = None
    probability: float = 1.0
    params: JSON = field(default_factory=dict)
    seen: int = 0
    struck: int = 0

    def fits(self, phase: Phase, route: str, model: str | None, event: str | None) -> bool:
        return (
            FAULTS[self.fault].phase == phase
            and self.model in (None, model)
            and self.event in (None, event)
            and self._route_fits(phase, route)
            and (self.count is None or self.struck < self.count)
        )

    def _route_fits(self, phase: Phase, route: str) -> bool:
        if self.route is None:
            return phase != "request" or route == "create"
        return self.route in {route, "any"}

    def strikes(self) -> bool:
        """Count one more chance, and decide by probability whether the fault happens."""
        self.seen += 1
        chance = random.Random(f"{self.params.get('seed', self.id)}:{self.seen}")  # noqa: S311 - no secret
        if self.probability < 1.0 and chance.random() >= self.probability:
            return False
        self.struck += 1
        return True


class FaultRules:
    """The rules in force, oldest first. `save` is called with them after every change."""

    def __init__(self, rules: list[FaultRule], save: Callable[[list[FaultRule]], None]) -> None:
        self._rules = rules
        self._save = save
        self._next = max((int(rule.id) for rule in rules), default=0) + 1

    @property
    def rules(self) -> list[FaultRule]:
        return list(self._rules)

    def add(self, body: JSON) -> FaultRule:
        """Add a rule from the control route's body.

        Raises:
            ValueError: an unknown fault, route or key, or a count or probability out of range.
        """
        rule = _read_rule(body, str(self._next))
        self._next += 1
        self._rules.append(rule)
        self._save(self._rules)
        return rule

    def clear(self, rule_id: str | None = None) -> int:
        """Remove one rule or all; returns how many."""
        before = len(self._rules)
        self._rules = [rule for rule in self._rules if rule_id is not None and rule.id != rule_id]
        self._save(self._rules)
        return before - len(self._rules)

    def take(
        self,
        phase: Phase,
        *,
        route: str,
        model: str | None,
        event: str | None = None,
        only: tuple[str, ...] = (),
    ) -> FaultRule | None:
        """The first rule that fits and strikes; each rule that fits has had one more chance."""
        for rule in self._rules:
            if (not only or rule.fault in only) and rule.fits(phase, route, model, event):
                struck = rule.strikes()
                self._save(self._rules)
                if struck:
                    return rule
        return None


def _read_rule(body: JSON, rule_id: str) -> FaultRule:
    unknown = set(body) - {"match", "fault", "count", "probability", "params"}
    if unknown:
        raise ValueError(
            f"unknown keys {sorted(unknown)}; a rule has match, fault, count, probability and params"
        )
    name = body.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        raise ValueError(f"unknown fault {name!r}; known are {', '.join(FAULTS)}")
    match, params = body.get("match") or {}, body.get("params") or {}
    if not isinstance(match, dict) or not isinstance(params, dict):
        raise ValueError("match and params are objects")  # noqa: TRY004  # as for all that is wrong in a rule
    if set(match) - {"model", "route", "event"}:
        raise ValueError(f"match takes model, route and event, not {sorted(match)}")
    if match.get("route") not in (None, *ROUTES):
        raise ValueError(f"unknown route {match['route']!r}; known are {', '.join(ROUTES)}")
    count, chance = body.get("count"), body.get("probability", 1.0)
    if count is not None and (not isinstance(count, int) or count < 1):
        raise ValueError(f"count {count!r} must be a whole number from 1")
    if not isinstance(chance, (int, float)) or not 0 <= chance <= 1:
        raise ValueError(f"probability {chance!r} must be a number from 0 to 1")
    return FaultRule(
        rule_id, name, match.get("model"), match.get("route"), match.get("event"), count, float(chance),
        dict(params),
    )  # fmt: skip
