"""What this provider has charged: one line for every accepted create, whether or not its answer arrived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Charge:
    """One accepted create and its price in micro-dollars: 0 once it is aborted, for it never started."""

    prediction_id: str
    model: str
    at: datetime
    amount_micros: int
    webhook: str | None
    input_hash: str


def input_hash(value: dict[str, Any]) -> str:
    """SHA-256 of the input with sorted keys: equal for equal inputs, whatever their order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def report(charges: Iterable[Charge]) -> dict[str, Any]:
    """The ledger as the control route shows it: the lines in order, totals over all and by model."""
    lines = list(charges)
    by_model: dict[str, int] = {}
    for line in lines:
        by_model[line.model] = by_model.get(line.model, 0) + line.amount_micros
    return {
        "charges": [{**asdict(line), "at": line.at.isoformat()} for line in lines],
        "count": len(lines),
        "total_micros": sum(line.amount_micros for line in lines),
        "by_model_micros": by_model,
    }
