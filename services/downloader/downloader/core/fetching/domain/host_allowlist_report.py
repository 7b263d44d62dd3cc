"""Knows the hosts that outputs are expected from. Any other is fetched from as well, and reported."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from downloader.core.fetching.domain.ssrf_guard import PORTS, AllowedHosts


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
