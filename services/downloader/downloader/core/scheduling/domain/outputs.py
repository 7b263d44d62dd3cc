"""One output of a prediction, as the downloader knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from downloader.core.containers.domain import Kind


@dataclass(frozen=True)
class Output:
    """An output to fetch.

    `stem` is where it belongs in the store, without the extension; `kind` is None when nobody said.
    """

    generation: str
    attempt: str
    prediction: str
    round: int
    index: int
    url: str
    stem: str
    kind: Kind | None
    expires_at: datetime
    job: str = ""
    campaign: str = ""
