"""What is measured on a file of media."""

from __future__ import annotations

from dataclasses import dataclass

from mediakit.formats import Kind


@dataclass(frozen=True)
class Facts:
    """Width and height are of the upright picture, `fps` frames per second; 0 where there are none."""

    kind: Kind
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codecs: tuple[str, ...] = ()
