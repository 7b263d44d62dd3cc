"""Every setting of catalog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from servicekit.config import setting
from servicekit.shared_settings import EventLogSettings, GrpcSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GrpcSettings, EventLogSettings):
    """Read from the environment once, at start."""

    database_url: str = setting(
        "DATABASE_URL",
        doc="`sqlite:///path` (one catalog process) or `postgresql://…` (any number of replicas).",
        secret=True,
    )
    migrate_at_start: bool = setting(
        "MIGRATE_AT_START",
        doc="Whether it migrates the database itself; else it waits until `python -m catalog migrate` has.",
        default=True,
    )
    generator_address: str = setting(
        "GENERATOR_ADDRESS", doc="gRPC address of the generator.", default="127.0.0.1:7003"
    )
    stitcher_address: str = setting(
        "STITCHER_ADDRESS", doc="gRPC address of the stitcher.", default="127.0.0.1:7005"
    )
    admin_key: str = setting(
        "RUSHES_ADMIN_KEY",
        doc="The operator's API key, made at start if it is new; the one before is revoked then.",
        default="",
        secret=True,
    )
    daily_budget_cents: int = setting(
        "DAILY_BUDGET_CENTS", doc="The most that may be spent in a day (UTC), in cents; 0: no cap.", default=0
    )
    max_attempts: int = setting(
        "MAX_ATTEMPTS", doc="Paid attempts per generation before it is given up.", default=3
    )
    stalled_after: timedelta = setting(
        "STALLED_AFTER_S",
        doc="Seconds without an event after which work is requested again; doubled each time.",
        default=timedelta(seconds=60),
    )
    reconcile_every: timedelta = setting(
        "RECONCILE_EVERY_S",
        doc="Seconds between two searches for stalled work.",
        default=timedelta(seconds=5),
    )
    plan_patience: timedelta = setting(
        "PLAN_PATIENCE_S",
        doc="Seconds that a new job waits for its plan before it is answered as a draft.",
        default=timedelta(seconds=10),
    )
    cut_fps: float = setting("CUT_FPS", doc="Frames per second of new cuts.", default=25.0)
