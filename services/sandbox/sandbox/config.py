"""The sandbox's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servicekit.config import setting
from servicekit.shared_settings import GrpcSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GrpcSettings):
    """Where it listens and keeps its state, and how fast its models work."""

    listen: str = setting(
        "SANDBOX_LISTEN",
        doc="Address of the HTTP server, host:port; port 0 takes a free one.",
        default="127.0.0.1:9100",
    )
    data: Path = setting(
        "SANDBOX_DATA", doc="Folder of the state: database, uploads, outputs.", default=Path("sandbox-data")
    )
    token: str = setting(
        "SANDBOX_TOKEN",
        doc="The API token that requests must carry; empty serves everybody.",
        default="",
        secret=True,
    )
    speed: float = setting(
        "SANDBOX_SPEED", doc="How many times faster than their own pace models start and work.", default=1.0
    )
    renderers: int = setting("SANDBOX_RENDERERS", doc="Renderings at once.", default=2)
    file_ttl_s: float = setting(
        "SANDBOX_FILE_TTL_S", doc="Seconds that outputs live after the prediction ended.", default=3600.0
    )
    expired_status: int = setting(
        "SANDBOX_EXPIRED_STATUS", doc="HTTP status of an expired output: 404 or 403.", default=404
    )
    creates_per_minute: int = setting(
        "SANDBOX_CREATES_PER_MINUTE",
        doc="Creates let through in a minute (the real one: 600); 0 for no limit.",
        default=0,
    )
