"""The README's settings table is the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator.config import Settings
from generator.main import build
from servicekit.config import ConfigError, describe, load

README = Path(__file__).parents[1] / "README.md"


def table() -> str:
    rows = [
        f"| `{env}` | {kind} | {f'`{default}`' if default else ''} | {doc} |"
        for env, kind, default, doc in describe(Settings)
    ]
    return "\n".join(["| env | type | default | meaning |", "| --- | --- | --- | --- |", *rows])


def test_every_setting_is_in_the_readme() -> None:
    assert table() in README.read_text(), f"put this into README.md:\n{table()}"


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
        build(environ)


def test_secrets_are_not_shown() -> None:
    settings = load(
        Settings, {"REPLICATE_API_TOKEN": "r8_secret", "SIGNING_KEY": "hush", "BLOB_SECRET_KEY": "hush"}
    )
    assert "r8_secret" not in repr(settings)
    assert "hush" not in repr(settings)
