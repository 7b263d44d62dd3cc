"""Knows the names under which public models take the same thing, and reads the numbers in their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from generator.core.models.domain.model_schema import Parameter, ParameterType

# The most telling first.
PROMPT = ("prompt", "text_prompt", "text", "caption", "description")
FIRST_IMAGE = (
    "first_image", "first_frame_image", "first_frame", "start_image", "start_frame", "start_image_url",
    "image", "input_image", "image_url", "init_image", "img", "image_input", "photo", "first_frame_url",
)  # fmt: skip
LAST_IMAGE = (
    "last_image", "last_frame_image", "last_frame", "end_image", "end_frame", "end_image_url", "tail_image",
    "image_tail", "final_image", "image_end", "last_frame_url",
)  # fmt: skip
SECONDS = ("duration", "seconds", "duration_seconds", "video_length", "length", "clip_length", "num_seconds")
FRAMES = ("num_frames", "frames", "frame_count")
FRAME_RATE = ("fps", "frames_per_second", "frame_rate")
OUTPUT_COUNT = (
    "num_outputs", "number_of_images", "num_images", "n", "batch_size", "number_of_outputs", "max_images",
)  # fmt: skip

NUMERIC = (ParameterType.INTEGER, ParameterType.NUMBER, ParameterType.STRING)
"""The types that numbers have: some models write them as text, "5s"."""


def find_parameters(
    parameters: Sequence[Parameter], names: Sequence[str], types: Sequence[ParameterType]
) -> list[Parameter]:
    """The parameters that have one of these names and one of these types, in the order of the names."""
    by_name = {each.name.lower(): each for each in parameters}
    found = (by_name.get(name) for name in names)
    return [each for each in found if each is not None and each.type in types]


def number_of(value: Any) -> float | None:
    """The number in `8`, "8", "8s" or "720p"; None when there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = re.match(r"\s*(\d+(?:\.\d+)?)", value) if isinstance(value, str) else None
    return float(match[1]) if match else None
