"""What the store knows about a blob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class BlobInfo:
    """A stored blob: `size` in bytes, `etag` without quotes, `modified_at` in UTC.

    `list` gives neither `content_type` ("") nor `metadata` ({}): S3 does not list them.
    """

    key: str
    size: int
    etag: str
    content_type: str
    modified_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
