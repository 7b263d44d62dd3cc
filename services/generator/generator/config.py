"""The generator's settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from servicekit.config import ConfigError, setting
from servicekit.shared_settings import BlobSettings, EventLogSettings, GrpcSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GrpcSettings, EventLogSettings, BlobSettings):
    """Read from the environment once, at the start."""

    catalog_address: str = setting(
        "CATALOG_ADDRESS", doc="gRPC address of catalog.", default="127.0.0.1:7001"
    )
    signing_key: str = setting(
        "SIGNING_KEY",
        doc="Signs the addresses under which the provider reads assets.",
        default="",
        secret=True,
    )
    public_url: str = setting(
        "PUBLIC_URL",
        doc="The gateway as the provider reaches it; empty: no webhooks, and no signed addresses of files.",
        default="",
    )
    base_url: str = setting(
        "REPLICATE_BASE_URL", doc="The provider's API, without /v1.", default="https://api.replicate.com"
    )
    token: str = setting(
        "REPLICATE_API_TOKEN", doc="Sent as Bearer to that host alone.", default="", secret=True
    )
    max_concurrency: int = setting(
        "REPLICATE_MAX_CONCURRENCY", doc="Predictions in flight over all replicas.", default=4
    )
    start_delay_ms: int = setting(
        "REPLICATE_START_DELAY_MS", doc="Milliseconds between two starts over all replicas.", default=1000
    )
    deadline: timedelta = setting(
        "REPLICATE_DEADLINE_S",
        doc="Seconds after which the provider ends a prediction by itself (5 to 86400).",
        default=timedelta(seconds=1800),
    )
    submit_window: timedelta = setting(
        "SUBMIT_WINDOW_S",
        doc="Seconds after an intent in which it may be sent; the same in every replica.",
        default=timedelta(seconds=20),
    )
    probe_every: timedelta = setting(
        "BREAKER_PROBE_S", doc="Seconds between two tries after a 401 or 402.", default=timedelta(seconds=30)
    )
    models_ttl: timedelta = setting(
        "MODELS_TTL_S",
        doc="Seconds that models and collections are remembered.",
        default=timedelta(seconds=300),
    )
    prices_file: Path = setting(
        "PRICES_FILE", doc="A price table of your own; empty: the one that comes along.", default=Path()
    )
    scene_model: str = setting(
        "SCENE_MODEL", doc="For scenes; empty: rushes/camera-move, else google/veo-3-fast.", default=""
    )
    pair_model: str = setting(
        "PAIR_MODEL",
        doc="For first-to-last scenes; empty: rushes/first-last, else kwaivgi/kling-v2.1.",
        default="",
    )
    music_model: str = setting(
        "MUSIC_MODEL", doc="For music; empty: rushes/music-bed, else meta/musicgen.", default=""
    )


def check(settings: Settings) -> Settings:
    """The settings, when they can work together; ConfigError lists all that cannot."""
    wrong = [f"{env} {why}" for env, fine, why in _rules(settings) if not fine]
    if wrong:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  {each}" for each in wrong))
    return settings


def _rules(settings: Settings) -> list[tuple[str, bool, str]]:
    def is_web(address: str) -> bool:
        return address.startswith(("http://", "https://"))

    deadline = settings.deadline.total_seconds()
    return [
        ("REPLICATE_MAX_CONCURRENCY", settings.max_concurrency >= 1, "must be at least 1"),
        ("REPLICATE_START_DELAY_MS", settings.start_delay_ms >= 0, "must be 0 or more"),
        ("REPLICATE_DEADLINE_S", 5 <= deadline <= 86_400, "must be 5 to 86400: the provider's limits"),
        ("SUBMIT_WINDOW_S", settings.submit_window.total_seconds() >= 1, "must be at least 1"),
        ("BREAKER_PROBE_S", settings.probe_every.total_seconds() >= 1, "must be at least 1"),
        ("REPLICATE_BASE_URL", is_web(settings.base_url), "must begin with http:// or https://"),
        ("PUBLIC_URL", not settings.public_url or is_web(settings.public_url), "must begin with https://"),
        (
            "SIGNING_KEY",
            bool(settings.signing_key) or not settings.public_url,
            "is needed with PUBLIC_URL: the provider reads assets by signed addresses",
        ),
    ]
