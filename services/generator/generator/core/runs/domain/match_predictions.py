"""Finds the prediction, in the provider's list, that an attempt without a recorded submission has made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from generator.core.inputs.domain.input_validation import whole_numbers
from generator.core.inputs.domain.run_spec import RunSpec, referenced_asset
from generator.core.runs.domain.attempt import Attempt
from generator.core.runs.domain.prediction import Prediction

CLOCKS_APART = timedelta(seconds=5)
"""How far the provider's clock and ours may be apart."""


def matching_predictions(
    predictions: Iterable[Prediction], attempt: Attempt, run: RunSpec, *, window: float
) -> list[Prediction]:
    """The predictions that may be the attempt's, the surest first.

    Its webhook address names the attempt: that one, and no other. Else those without a webhook of another
    attempt, of the same model, with the same input, created within `window` seconds after the intent. After
    an hour the provider removes inputs: one that has none any more may be the attempt's, and comes last.

    `predictions`: the provider's list since the intent, or any part of it.
    """
    listed = list(predictions)
    named = [each for each in listed if attempt_of_webhook(each.webhook) == attempt.id]
    if named:
        return named
    intended_at = attempt.intended_at
    sent = {name: value for name, value in sent_input(run).items() if name not in run.secret_fields}
    latest = intended_at + timedelta(seconds=window) + CLOCKS_APART
    return sorted(
        (
            each
            for each in listed
            if each.created_at is not None
            and intended_at - CLOCKS_APART <= each.created_at <= latest
            and not attempt_of_webhook(each.webhook)
            and _same_model(each, run)
            and (each.data_removed or same_input(sent, each.input))
        ),
        key=lambda each: (each.data_removed, each.created_at or intended_at),
    )


def sent_input(run: RunSpec) -> dict[str, Any]:
    """The input as it is sent, assets still written `asset:<id>`: a Struct has made every number a double."""
    return {key: whole_numbers(value) for key, value in run.input.items()}


def same_input(sent: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """Whether the provider has recorded what we would have sent. It may have added defaults of its own."""
    return all(key in recorded and _same(value, recorded[key]) for key, value in sent.items())


def _same(ours: Any, theirs: Any) -> bool:
    if asset_id := referenced_asset(ours):  # an address by now; or a text that only has the form of one
        return isinstance(theirs, str) and (theirs == ours or _may_be_asset(theirs, asset_id))
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return same_input(ours, theirs)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    return bool(ours == theirs)


def _may_be_asset(address: str, asset_id: str) -> bool:
    """A signed address names the asset; an uploaded or an inlined file could be any."""
    return f"/assets/{asset_id}/" in address or "/api/v3/assets/" not in address


def _same_model(prediction: Prediction, run: RunSpec) -> bool:
    if run.version and prediction.version == run.version:
        return True
    return prediction.model in ("", run.model)


def attempt_of_webhook(address: str) -> str:
    """The attempt that a webhook address names; empty when it names none of ours."""
    tail = address.split("?", maxsplit=1)[0].rstrip("/").rpartition("/")[2]
    return tail if tail.startswith("att_") else ""
