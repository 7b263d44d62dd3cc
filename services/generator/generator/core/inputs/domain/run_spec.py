"""Specifies a run of a model: what is sent to the provider, and what the reserved money lasts for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.prices import Estimate


@dataclass(frozen=True)
class RunSpec:
    """A run as `PrepareInput` checks it, as catalog stores it with a generation, and as it is submitted.

    Args:
        model: `owner/name`.
        version: empty for an official model, which is run by its name.
        input: checked; assets are written `asset:<id>` until it is submitted.
        kind: what the model makes.
        deadline_s: seconds that the reserved money lasts for; 0: those of every run.
        secret_fields: keys of the input whose values the provider shows to nobody.
        asset_ids: the assets that the input refers to.
        job_id: of the job that the run is for; empty for none.
        campaign_id: likewise.
    """

    model: str
    version: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    kind: MediaKind = MediaKind.UNKNOWN
    deadline_s: float = 0.0
    secret_fields: tuple[str, ...] = ()
    asset_ids: tuple[str, ...] = ()
    job_id: str = ""
    campaign_id: str = ""


@dataclass(frozen=True)
class PricedRun:
    """A run with what it should cost, and the most that it can cost, in micro-dollars."""

    spec: RunSpec
    estimate: Estimate
    reserve_micros: int
