"""Settings that cannot work are refused, and secrets are not shown."""

from __future__ import annotations

import pytest

from generator.config import Settings
from generator.main import build
from servicekit.config import ConfigError, load

STORE = {"BLOB_ENDPOINT": "http://127.0.0.1:1", "BLOB_ACCESS_KEY": "rushes", "BLOB_SECRET_KEY": "hush"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"REPLICATE_MAX_CONCURRENCY": "0"}, "REPLICATE_MAX_CONCURRENCY"),
        ({"REPLICATE_START_DELAY_MS": "-5"}, "REPLICATE_START_DELAY_MS"),
        ({"SUBMIT_WINDOW_S": "0"}, "SUBMIT_WINDOW_S"),
        ({"REPLICATE_DEADLINE_S": "1"}, "REPLICATE_DEADLINE_S"),
        ({"BREAKER_PROBE_S": "0"}, "BREAKER_PROBE_S"),
        ({"PRICES_FILE": "/nowhere/prices.toml"}, "PRICES_FILE"),
        ({"REPLICATE_BASE_URL": "replicate"}, "REPLICATE_BASE_URL"),
        ({"PUBLIC_URL": "here"}, "PUBLIC_URL"),
    ],
)
async def test_settings_that_cannot_work_are_reported_at_the_start(
    environ: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        build(STORE | environ)


def test_secrets_are_not_shown() -> None:
    settings = load(Settings, STORE | {"REPLICATE_API_TOKEN": "r8_secret", "SIGNING_KEY": "hush"})
    assert "r8_secret" not in repr(settings)
    assert "hush" not in repr(settings)
