"""Settings: read once, and everything wrong told at once."""

from dataclasses import FrozenInstanceError, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from servicekit.config import ConfigError, describe, load, setting


class Mode(StrEnum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True)
class Settings:
    url: str = setting("URL", doc="Where it is.")
    token: str = setting("TOKEN", doc="What opens it.", secret=True)
    slots: int = setting("SLOTS", doc="How many at once.", default=4)
    share: float = setting("SHARE", doc="Of what is left.", default=0.5)
    debug: bool = setting("DEBUG", doc="Talk more.", default=False)
    folder: Path = setting("FOLDER", doc="Where files go.", default=Path("/var"))
    ttl: timedelta = setting("TTL", doc="How long it lives.", default=timedelta(minutes=1))
    hosts: tuple[str, ...] = setting("HOSTS", doc="Who may call.", default=("a", "b"))
    mode: Mode = setting("MODE", doc="How.", default=Mode.SAFE)


def test_values_are_cast_and_defaults_apply() -> None:
    environ = {
        "URL": "x",
        "TOKEN": "t",
        "SLOTS": "8",
        "DEBUG": "Yes",
        "TTL": "1.5",
        "HOSTS": "c, d,",
        "MODE": "fast",
    }
    settings = load(Settings, environ | {"FOLDER": "/tmp"})
    assert settings == Settings(
        "x", "t", 8, 0.5, True, Path("/tmp"), timedelta(seconds=1.5), ("c", "d"), Mode.FAST
    )


def test_an_empty_variable_is_unset() -> None:
    assert load(Settings, {"URL": "x", "TOKEN": "t", "SLOTS": ""}).slots == 4


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Settings, {"SLOTS": "many", "DEBUG": "perhaps", "TTL": "1e400", "MODE": "slow"})
    text = str(caught.value)
    assert "URL is missing: expected a text. Where it is." in text
    assert "TOKEN is missing" in text
    assert "SLOTS='many' cannot be read: expected a whole number. How many at once." in text
    assert "DEBUG='perhaps'" in text
    assert "TTL='1e400'" in text
    assert "MODE='slow' cannot be read: expected one of fast, safe" in text


def test_a_secret_is_never_shown() -> None:
    @dataclass(frozen=True)
    class Pin:
        pin: int = setting("PIN", doc="Opens the door.", secret=True, default=1234)

    with pytest.raises(ConfigError) as caught:
        load(Pin, {"PIN": "hunter2"})
    assert "PIN=*** cannot be read" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "5678" not in repr(load(Pin, {"PIN": "5678"}))
    assert describe(Pin) == [("PIN", "int", "***", "Opens the door.", True)]


def test_settings_are_frozen() -> None:
    settings = load(Settings, {"URL": "x", "TOKEN": "t"})
    with pytest.raises(FrozenInstanceError):
        settings.url = "y"  # type: ignore[misc]


def test_the_description_is_a_table_for_the_readme() -> None:
    assert describe(Settings) == [
        ("URL", "text", "required", "Where it is.", False),
        ("TOKEN", "text", "required", "What opens it.", True),
        ("SLOTS", "int", "4", "How many at once.", False),
        ("SHARE", "float", "0.5", "Of what is left.", False),
        ("DEBUG", "bool", "false", "Talk more.", False),
        ("FOLDER", "path", "/var", "Where files go.", False),
        ("TTL", "seconds", "60", "How long it lives.", False),
        ("HOSTS", "list", "a,b", "Who may call.", False),
        ("MODE", "fast | safe", "safe", "How.", False),
    ]


def test_a_path_that_is_unset_is_not_described_as_this_folder() -> None:
    @dataclass(frozen=True)
    class Spool:
        folder: Path = setting("SPOOL", doc="Where.", default=Path())

    assert describe(Spool) == [("SPOOL", "path", "", "Where.", False)]


def test_an_unsupported_type_is_reported_to_the_developer() -> None:
    @dataclass(frozen=True)
    class Odd:
        odd: complex = setting("ODD", doc="?", default=1j)

    with pytest.raises(TypeError, match="complex"):
        load(Odd, {"ODD": "1"})
