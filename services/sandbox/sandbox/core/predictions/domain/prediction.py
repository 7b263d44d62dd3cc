"""Defines a prediction, the steps between its six states, and how the API and the store show it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

JSON = dict[str, Any]


class Status(StrEnum):
    """Replicate's states of a prediction; there is no `queued`."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})
EVENTS = ("start", "output", "logs", "completed")
_TIMES = ("created_at", "started_at", "completed_at", "deadline", "expires_at")


@dataclass(frozen=True)
class Prediction:
    """Everything that is stored about one prediction.

    `output` names files as `files/<token>/<name>`; the API puts the address before it under which the client
    reached this server. `fault`: the fault that a rule gave it at its creation.
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
    def is_final(self) -> bool:
        return self.status in TERMINAL


def example_id(name: str) -> str:
    """An id in the provider's form, always the same for one name."""
    return base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()[:26]


def started(prediction: Prediction, now: datetime) -> Prediction:
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
    """The prediction in its final state. One that is final stays as it is."""
    if prediction.is_final:
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
    """Stopped by its user, or by its deadline: then `aborted` if it had not started."""
    early = by_deadline and prediction.started_at is None
    return ended(prediction, Status.ABORTED if early else Status.CANCELED, now, ttl=ttl)


def is_expired(prediction: Prediction, now: datetime) -> bool:
    """Whether the provider has removed its input, output and logs."""
    return prediction.removed or (prediction.expires_at is not None and prediction.expires_at <= now)


def api_object(prediction: Prediction, now: datetime, *, base: str, official: bool) -> JSON:
    """As the API shows it: every key is there, null where it has no value. `official`: of its model."""
    p, gone = prediction, is_expired(prediction, now)
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
        "created_at": to_rfc3339(p.created_at),
        "started_at": to_rfc3339(p.started_at),
        "completed_at": to_rfc3339(p.completed_at),
        "metrics": dict(p.metrics),
        "urls": {"get": at, "cancel": f"{at}/cancel", "web": f"{base}/p/{p.id}"},
        "is_free_trial_prediction": False,
    }
    if p.deadline is not None:
        shown["deadline"] = to_rfc3339(p.deadline)
    if p.webhook is not None:
        shown["webhook"] = p.webhook
        shown["webhook_events_filter"] = list(p.events)
    return shown


def _logs(p: Prediction, gone: bool) -> str | None:
    """Null for a stopped prediction, as the real provider answers a cancel."""
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


def to_rfc3339(moment: datetime | None) -> str | None:
    """With six digits of a second and `Z`."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def to_record(prediction: Prediction) -> JSON:
    """The JSON object that is stored."""
    record: JSON = dict(vars(prediction))  # `asdict` would copy every input deeply, on every save
    for name in _TIMES:
        record[name] = to_rfc3339(record[name])
    return record


def from_record(record: JSON) -> Prediction:
    times = {name: from_rfc3339(record[name]) for name in _TIMES}
    return Prediction(
        **{**record, **times, "status": Status(record["status"]), "events": tuple(record["events"])}
    )
