"""The layout of the blob store: under which keys things are stored, and what a key says of its blob."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"


def cut_key(job_id: str, version: int) -> str:
    return f"cuts/{job_id}/v{version}.mp4"


def cut_thumbnail_key(job_id: str, version: int) -> str:
    return f"thumbs/{job_id}-v{version}.jpg"


def thumbnail_key(record_id: str) -> str:
    """Where the thumbnail of an asset or a media is stored."""
    return f"thumbs/{record_id}.webp"


class BlobOwner(StrEnum):
    """The kind of record that decides whether a blob is needed."""

    ASSET = "asset"
    GENERATION = "generation"
    """Of an output's bytes: they are stored before there is a record of the media."""
    JOB = "job"
    MEDIA = "media"
    """Of an output's thumbnail."""


_LAYOUT = (
    (BlobOwner.ASSET, re.compile(rf"assets/(ast_{_ULID})/.+")),
    (BlobOwner.ASSET, re.compile(rf"thumbs/(ast_{_ULID})\.webp")),
    (BlobOwner.GENERATION, re.compile(rf"media/(gen_{_ULID})/\d+\.\w+")),
    (BlobOwner.MEDIA, re.compile(rf"thumbs/(med_{_ULID})\.webp")),
    (BlobOwner.JOB, re.compile(rf"cuts/(job_{_ULID})/v(\d{{1,9}})\.mp4")),
    (BlobOwner.JOB, re.compile(rf"thumbs/(job_{_ULID})-v(\d{{1,9}})\.jpg")),
)


@dataclass(frozen=True)
class BlobKey:
    """A key of our layout, and the record it belongs to. `version`: of a job's cut."""

    text: str
    owner: BlobOwner
    owner_id: str
    version: int = 0


@dataclass(frozen=True)
class NamedBlob:
    """A blob that a record names. `id`: of the asset, of the media, or for a cut of its job."""

    id: str
    key: str


def parse_blob_key(text: str) -> BlobKey | None:
    """What a key says of its blob; None when it is not of our layout."""
    for owner, shape in _LAYOUT:
        if found := shape.fullmatch(text):
            return BlobKey(text, owner, found[1], int(found[2]) if found.lastindex == 2 else 0)
    return None
