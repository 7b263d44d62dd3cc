"""Defines charges: one for each create that was accepted, whether or not the client got the answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Charge:
    """The price of one create. An aborted prediction costs 0, because it never started."""

    prediction_id: str
    model: str
    at: datetime
    amount_micros: int
    webhook: str | None
    input_hash: str


def input_hash(value: dict[str, Any]) -> str:
    """SHA-256 of the input with sorted keys: independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def report(charges: Iterable[Charge]) -> dict[str, Any]:
    """As the control route shows them: charges in order, totals over all and by model."""
    listed = list(charges)
    by_model: dict[str, int] = {}
    for charge in listed:
        by_model[charge.model] = by_model.get(charge.model, 0) + charge.amount_micros
    return {
        "charges": [{**asdict(charge), "at": charge.at.isoformat()} for charge in listed],
        "count": len(listed),
        "total_micros": sum(charge.amount_micros for charge in listed),
        "by_model_micros": by_model,
    }
