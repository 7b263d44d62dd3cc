"""The facts that the generator says about a prediction, and the ids that make saying them twice harmless."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from generator.core.models.domain.media_kinds import Kind
from generator.core.runs.domain.provider_errors import Failure


@dataclass(frozen=True)
class Whose:
    """Whose prediction a fact speaks of; `round` is that of the request that led here."""

    generation_id: str
    attempt_id: str
    prediction_id: str
    job_id: str = ""
    campaign_id: str = ""
    round: int = 1


@dataclass(frozen=True)
class Started:
    """The provider runs it."""

    whose: Whose


@dataclass(frozen=True)
class Progressed:
    """How far it is: whole percent, and what is happening now."""

    whose: Whose
    percent: int
    message: str


@dataclass(frozen=True)
class Succeeded:
    """Its outputs lie at these addresses until `expires_at`. Money in micro-dollars."""

    whose: Whose
    addresses: tuple[str, ...]
    kind: Kind
    expires_at: datetime
    completed_at: datetime
    cost_micros: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """It failed, or its outputs are gone. Money in micro-dollars."""

    whose: Whose
    failure: Failure
    cost_micros: int = 0


@dataclass(frozen=True)
class Canceled:
    """It was stopped at the provider, by us or by its deadline. Money in micro-dollars."""

    whose: Whose
    cost_micros: int = 0
    by_deadline: bool = False


Fact = Started | Progressed | Succeeded | Failed | Canceled

GONE = "gone"
"""The code of a failure: the provider has the run and its outputs no longer."""

TYPES: dict[type[Any], str] = {
    Started: "prediction.started",
    Progressed: "prediction.progressed",
    Succeeded: "prediction.succeeded",
    Failed: "prediction.failed",
    Canceled: "prediction.canceled",
}


def fact_id(fact: Fact) -> str:
    """`<generation>:<attempt>:<what>`; with the round where a request may ask for it to be said again."""
    stem = f"{fact.whose.generation_id}:{fact.whose.attempt_id}:{TYPES[type(fact)].partition('.')[2]}"
    if isinstance(fact, Progressed):
        return f"{stem}:{fact.percent}"
    # That its outputs are gone is an answer to each round that asks for them once more.
    repeated = isinstance(fact, Succeeded) or (isinstance(fact, Failed) and fact.failure.code == GONE)
    return f"{stem}:{fact.whose.round}" if repeated else stem
