"""A prediction and its life: pure records and the steps between its six states."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

JSON = dict[str, Any]


class Status(StrEnum):
    """Replicate's words for where a prediction stands; there is no `queued`."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})
EVENTS = ("start", "output", "logs", "completed")


@dataclass(frozen=True)
class Prediction:
    """Everything stored about one prediction.

    `output` names files as `files/<token>/<name>`, without a host: whoever shows it adds the address it was
    asked under. `fault` is what a fault rule decided for it at its creation.
    """

    id: str
    model: str
    version: str
    input: JSON
    created_at: datetime
    base: str
    status: Status = Status.STARTING
    output: Any = None
    error: str | None = None
    logs: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    metrics: JSON = field(default_factory=dict)
    deadline: datetime | None = None
    webhook: str | None = None
    events: tuple[str, ...] = ()
    expires_at: datetime | None = None
    removed: bool = False
    fault: JSON | None = None

    @property
    def done(self) -> bool:
        """Whether the state is final."""
        return self.status in TERMINAL


def new_prediction_id() -> str:
    """26 characters of `a-z2-7`, as the real ones look."""
    return base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]


def example_id(name: str) -> str:
    """An id like the others, and for one name always the same."""
    return base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()[:26]


def started(prediction: Prediction, now: datetime) -> Prediction:
    """The model has booted and works."""
    return replace(prediction, status=Status.PROCESSING, started_at=now)


def ended(
    prediction: Prediction,
    status: Status,
    now: datetime,
    *,
    output: Any = None,
    error: str | None = None,
    metrics: JSON | None = None,
    ttl: timedelta,
) -> Prediction:
    """The final state; a prediction that has one keeps it."""
    if prediction.done:
        return prediction
    times: JSON = {"total_time": (now - prediction.created_at).total_seconds()}
    if prediction.started_at is not None:
        times["predict_time"] = (now - prediction.started_at).total_seconds()
    return replace(
        prediction,
        status=status,
        output=output,
        error=error,
        completed_at=now,
        metrics={**times, **(metrics or {})},
        expires_at=now + ttl,
    )


def canceled(
    prediction: Prediction, now: datetime, *, ttl: timedelta, by_deadline: bool = False
) -> Prediction:
    """Stopped by its user or by its deadline: `aborted` when the deadline came before it started."""
    early = by_deadline and prediction.started_at is None
    return ended(prediction, Status.ABORTED if early else Status.CANCELED, now, ttl=ttl)


def expired(prediction: Prediction, now: datetime) -> bool:
    """Whether its input, output and logs are gone by now."""
    return prediction.removed or (prediction.expires_at is not None and prediction.expires_at <= now)


def show(prediction: Prediction, now: datetime, *, base: str, official: bool) -> JSON:
    """The object that the API answers: every key present, null where there is nothing."""
    p, gone = prediction, expired(prediction, now)
    at = f"{base}/v1/predictions/{p.id}"
    shown: JSON = {
        "id": p.id,
        "model": p.model,
        "version": "hidden" if official else p.version,
        "input": {} if gone else p.input,
        "logs": _logs(p, gone),
        "output": None if gone else with_base(p.output, base),
        "data_removed": gone,
        "error": p.error,
        "source": "api",
        "status": p.status.value,
        "created_at": stamp(p.created_at),
        "started_at": stamp(p.started_at),
        "completed_at": stamp(p.completed_at),
        "metrics": dict(p.metrics),
        "urls": {"get": at, "cancel": f"{at}/cancel", "web": f"{base}/p/{p.id}"},
        "is_free_trial_prediction": False,
    }
    if p.deadline is not None:
        shown["deadline"] = stamp(p.deadline)
    if p.webhook is not None:
        shown["webhook"] = p.webhook
        shown["webhook_events_filter"] = list(p.events)
    return shown


def _logs(p: Prediction, gone: bool) -> str | None:
    """Null where the run was stopped, as what answers a cancel at the real one has it."""
    return None if p.status in (Status.CANCELED, Status.ABORTED) else "" if gone else p.logs


def with_base(output: Any, base: str) -> Any:
    """The output with the server's address before every file."""
    if isinstance(output, str):
        return f"{base}/{output}" if output.startswith("files/") else output
    if isinstance(output, list):
        return [with_base(item, base) for item in output]
    if isinstance(output, dict):
        return {key: with_base(item, base) for key, item in output.items()}
    return output


def stamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with six digits and `Z`."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(value: str | None) -> datetime | None:
    """The reverse of `stamp`; takes any RFC 3339 time."""
    return None if value is None else datetime.fromisoformat(value)


def to_record(prediction: Prediction) -> JSON:
    """A JSON object that `from_record` reads back."""
    record: JSON = dict(vars(prediction))  # `asdict` would copy every input deeply, on every save
    for name in ("created_at", "started_at", "completed_at", "deadline", "expires_at"):
        record[name] = stamp(record[name])
    return record


def from_record(record: JSON) -> Prediction:
    """The prediction of a stored record."""
    times = {
        n: moment(record[n]) for n in ("created_at", "started_at", "completed_at", "deadline", "expires_at")
    }
    return Prediction(
        **{**record, **times, "status": Status(record["status"]), "events": tuple(record["events"])}
    )
