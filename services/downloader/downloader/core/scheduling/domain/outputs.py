"""Describes one output of a prediction, and the hosts that outputs are expected from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from downloader.core.fetching.domain.ssrf_guard import PORTS, AllowedHosts
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


class ExpectedHosts:
    """The hosts that providers deliver from, and those that the operator named.

    It refuses nothing. An output is paid for, and the day on which its provider delivers from another host
    would be the day on which all are lost. What protects us is that no private address is requested, and
    that only what decodes as media is stored. A host that nobody expects still deserves a warning.

    Args:
        hosts: names; each stands for its subdomains too.
        allowed: what may be private is expected as well.
    """

    def __init__(self, hosts: Iterable[str] = (), allowed: AllowedHosts | None = None) -> None:
        self._hosts = tuple(host.strip().rstrip(".").lower() for host in hosts)
        self._allowed = allowed or AllowedHosts()

    def unexpected_host(self, url: str) -> str:
        """The host of an address when it is not expected; else ""."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:  # not an address at all: the fetch reports that
            return ""
        if not host or self._allowed.covers(host, port):
            return ""
        is_expected = any(host == name or host.endswith(f".{name}") for name in self._hosts)
        return "" if is_expected else host
