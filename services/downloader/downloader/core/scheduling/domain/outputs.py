"""Describes one output of a prediction, as the downloader needs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from mediakit.formats import Kind

OutputId = tuple[str, str, int, int]


@dataclass(frozen=True)
class Output:
    """An output to fetch.

    Args:
        stem: its key in the store, without the extension.
        likely_kind: what the model makes as far as anybody knows. It is no condition: a model of films may
            also make their last frames, and what is paid for is stored as what it is.
    """

    generation: str
    attempt: str
    prediction: str
    round: int
    index: int
    url: str
    stem: str
    likely_kind: Kind | None
    expires_at: datetime
    job: str = ""
    campaign: str = ""

    @property
    def id(self) -> OutputId:
        """Of one request for it: the next round has another id."""
        return self.generation, self.attempt, self.index, self.round

    @property
    def host(self) -> str:
        """`host` or `host:port` of its address; empty when there is none."""
        try:
            return urlsplit(self.url).netloc.rpartition("@")[2]
        except ValueError:  # not an address at all: the fetch reports that
            return ""
