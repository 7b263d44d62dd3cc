"""The values that several concepts share: kinds of media, measured files, errors, checked runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MICROS_PER_CENT = 10_000
"""Money is counted in micro-dollars inside and in cents at the edge."""


SECRET = "[secret]"  # noqa: S105  # it stands for one
"""What is shown in place of a secret."""


class MediaKind(StrEnum):
    UNKNOWN = "unknown"
    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"

    @property
    def has_thumbnail(self) -> bool:
        """Whether a thumbnail is made of such a file."""
        return self in (MediaKind.IMAGE, MediaKind.VIDEO)


GONE = "gone"
"""The code of an error: an address leads to nothing (any more), or the provider has the run no longer."""

EXPIRED = "expired"
"""The code of an error: the output was not fetched before the provider deleted it."""


@dataclass(frozen=True)
class Error:
    """How something failed: a short code, the text as given, and whether trying again makes sense."""

    code: str
    message: str
    retryable: bool = False


@dataclass(frozen=True)
class Facts:
    """What was measured on a stored file; lengths in seconds, sizes in bytes and pixels, 0 for "has none"."""

    kind: MediaKind = MediaKind.UNKNOWN
    content_type: str = ""
    size_bytes: int = 0
    sha256: str = ""
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codecs: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSpec:
    """One run of a model whose input was checked: what is submitted, and what it costs.

    Args:
        estimate_micros: what it should cost, for people.
        reserve_micros: the most it can cost when it is ended after `deadline_s` seconds, for the caps.
        basis: where the figures come from.
        secrets: keys of the input whose values must never be shown or logged.
        assets: what the input refers to as `asset:<id>`, where the model takes a file.
    """

    provider: str
    model: str
    version: str
    kind: MediaKind
    input: Mapping[str, Any] = field(default_factory=dict)
    estimate_micros: int = 0
    basis: str = ""
    reserve_micros: int = 0
    deadline_s: float = 0.0
    secrets: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()

    @property
    def shown_input(self) -> Mapping[str, Any]:
        """The input as people may see it."""
        return {name: SECRET if name in self.secrets else value for name, value in self.input.items()}

    @property
    def reserve_or_estimate_micros(self) -> int:
        """What is reserved for an attempt: never less than it should cost.

        A run that was recorded before there were reserves has none.
        """
        return max(self.reserve_micros, self.estimate_micros)
