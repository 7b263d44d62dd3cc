"""Reads a service's settings, one frozen dataclass, from the environment; reports all problems at once."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

_REQUIRED: Any = dataclasses.MISSING
_KEY = "servicekit.setting"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
MASK = "***"

S = TypeVar("S")


@dataclasses.dataclass(frozen=True)
class _Setting:
    env: str
    doc: str
    secret: bool
    choices: Sequence[Any]


class ConfigError(Exception):
    """Some settings are missing or unreadable; the text lists every one of them, and the way out."""


def setting(
    env: str, *, doc: str, default: Any = _REQUIRED, secret: bool = False, choices: Sequence[Any] = ()
) -> Any:
    """Declare one field of a settings dataclass.

    Args:
        env: the environment variable it is read from.
        doc: one sentence for the operator, with the unit.
        default: its value when the variable is unset or empty; without one the setting is required.
        secret: never shown: not in errors, and left out of the settings' repr.
        choices: the only values that it may have; empty: any.
    """
    declared = _Setting(env, doc, secret, choices)
    return dataclasses.field(default=default, repr=not secret, metadata={_KEY: declared})


def load(cls: type[S], environ: Mapping[str, str]) -> S:
    """Read the settings. Fields: str, int, float, bool, Path, timedelta (seconds), StrEnum, tuple[str, ...].

    An empty variable counts as unset. A tuple is written with commas, a bool as true or false.

    Raises:
        ConfigError: listing every missing and every unreadable setting.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, declared, kind, default in _settings(cls):
        raw = environ.get(declared.env, "")
        _, expected, read = _reader(kind, declared.choices)
        if raw == "":
            if default is _REQUIRED:
                problems.append(f"{declared.env} is missing: expected {expected}. {declared.doc}")
            continue
        try:
            values[name] = read(raw)
        except ValueError:
            shown = MASK if declared.secret else repr(raw)
            problems.append(f"{declared.env}={shown} cannot be read: expected {expected}. {declared.doc}")
    if problems:
        raise ConfigError(
            "the settings are not complete:\n" + "\n".join(f"  {problem}" for problem in problems)
        )
    return cls(**values)


class DescribedSetting(NamedTuple):
    """A setting as people read it."""

    env: str
    type: str
    default: str
    """As one would write it in the environment: "required" for none, masked for a secret."""
    doc: str
    secret: bool


def describe(cls: type[Any]) -> list[DescribedSetting]:
    """Each setting of the class, for the README's table and a cluster's ConfigMap."""
    return [
        DescribedSetting(
            declared.env,
            _reader(kind, declared.choices)[0],
            _written(default, declared),
            declared.doc,
            declared.secret,
        )
        for _, declared, kind, default in _settings(cls)
    ]


def _settings(cls: type[Any]) -> list[tuple[str, _Setting, Any, Any]]:
    hints = typing.get_type_hints(cls)
    return [
        (field.name, field.metadata[_KEY], hints[field.name], field.default)
        for field in dataclasses.fields(cls)
        if _KEY in field.metadata
    ]


def _bool(raw: str) -> bool:
    word = raw.strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(raw)
    return word in _TRUE


def _duration(raw: str) -> timedelta:
    try:
        return timedelta(seconds=float(raw))
    except OverflowError as error:
        raise ValueError(raw) from error


def _words(raw: str) -> tuple[str, ...]:
    return tuple(word for part in raw.split(",") if (word := part.strip()))


_Reader = tuple[str, str, Callable[[str], Any]]
"""Its name in the README, what is expected in words, and how a text becomes a value."""

_READERS: dict[Any, _Reader] = {
    str: ("text", "a text", str),
    int: ("int", "a whole number", int),
    float: ("float", "a number", float),
    bool: ("bool", "true or false", _bool),
    Path: ("path", "a path", Path),
    timedelta: ("seconds", "a number of seconds", _duration),
    tuple[str, ...]: ("list", "words with commas between them", _words),
}


def _reader(kind: Any, choices: Sequence[Any] = ()) -> _Reader:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " | ".join(kind), f"one of {', '.join(kind)}", lambda raw: kind(raw.strip().lower())
    if kind not in _READERS:
        raise TypeError(
            f"a setting cannot be of type {kind}; use one of {', '.join(map(str, _READERS))} or a StrEnum"
        )
    if not choices:
        return _READERS[kind]
    read = _READERS[kind][2]
    texts = [str(each) for each in choices]
    return " | ".join(texts), f"one of {', '.join(texts)}", lambda raw: _one_of(choices, read(raw))


def _one_of(choices: Sequence[Any], value: Any) -> Any:
    if value not in choices:
        raise ValueError(value)
    return value


def _written(default: Any, declared: _Setting) -> str:
    if default is _REQUIRED:
        return "required"
    if declared.secret:
        return MASK if default else ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g}"
    if isinstance(default, tuple):
        return ",".join(default)
    # An empty path is as unset as a path can be; written as ".", it would be taken for this folder.
    return "" if default == Path() else str(default)
