"""Which hosts outputs are expected from: any other is fetched from as well, and told."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from downloader.core.fetching.domain.ssrf_guard import PORTS, Allowed
from downloader.core.scheduling.domain.bounded_set import Known


class Expected:
    """The hosts that providers deliver from, and those that the operator named.

    It refuses nothing: an output is paid for, and the day its provider delivers from another host would be
    the day on which all are lost. What guards us is that no private address is asked, and that only what
    decodes as media is stored. A host that nobody expects is still worth a look.

    Args:
        hosts: names; each stands for its subdomains too.
        allowed: what may be private is expected as well.
    """

    def __init__(self, hosts: Iterable[str] = (), allowed: Allowed | None = None) -> None:
        self._hosts = tuple(host.strip().rstrip(".").lower() for host in hosts)
        self._allowed = allowed or Allowed()
        self._told = Known()

    def stranger(self, url: str) -> str:
        """The host of an address when it is not expected, the first time that it is asked about; else ""."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:  # no address at all: the fetch says so
            return ""
        if not host or self._allowed.covers(host, port):
            return ""
        if any(host == name or host.endswith(f".{name}") for name in self._hosts):
            return ""
        return host if self._told.add(host) else ""
