"""Decides which addresses may be fetched from: public ones, and the few that the operator names.

Whoever can make us fetch an address must not reach our own network through us (SSRF, server-side request
forgery): the cloud's metadata service, the database, the store.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

PORTS = {"http": 80, "https": 443}

_REFUSED = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
"""Blanks, control characters, and what some read as a slash: an address may mean different hosts to
different readers. What else is not ASCII is encoded before it is sent."""

# Registered for special purposes (IANA). `is_global` of some Pythons that we run on misses a few of them.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of some clouds
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",
        "3fff::/20",
    )
)
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only part of IPv6 that the public internet uses (IANA, IPv6 address space)."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts that may be private: with any port, and with one port only."""

    hosts: frozenset[str] = frozenset()
    host_ports: frozenset[tuple[str, int]] = frozenset()

    def covers(self, host: str, port: int) -> bool:
        host = _normalised(host)
        return host in self.hosts or (host, port) in self.host_ports


def parse_allowed_hosts(entries: Iterable[str]) -> AllowedHosts:
    """Read `host`, `host:port`, `[v6]`, `[v6]:port`.

    Raises:
        ValueError: an entry is none of them; the text names it.
    """
    hosts: set[str] = set()
    host_ports: set[tuple[str, int]] = set()
    for entry in entries:
        bare = entry.strip()
        try:
            if _is_ip(bare):
                hosts.add(_normalised(bare))
                continue
            parts = urlsplit(f"//{bare}")
            if not parts.hostname or parts.path or parts.username is not None:
                raise ValueError(bare)
            if parts.port is None:
                hosts.add(_normalised(parts.hostname))
            else:
                host_ports.add((_normalised(parts.hostname), parts.port))
        except ValueError as error:
            raise ValueError(f"{entry!r} is neither a host nor host:port") from error
    return AllowedHosts(frozenset(hosts), frozenset(host_ports))


def check_url(url: str, allowed: AllowedHosts) -> None:
    """Refuse an address that must not be requested. Its name is checked again once it is resolved.

    Raises:
        FetchError: `bad_address` or `private_address`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(ErrorCode.BAD_ADDRESS, "its address cannot be read") from error
    if parts.scheme not in PORTS:
        scheme = parts.scheme[:16] or "none"
        raise FetchError(
            ErrorCode.BAD_ADDRESS, f"its address has the scheme {scheme}; http and https are fetched"
        )
    if not host or _REFUSED.search(url):
        raise FetchError(
            ErrorCode.BAD_ADDRESS, "its address names no host, or has blanks or control characters"
        )
    if parts.username is not None or parts.password is not None:
        raise FetchError(ErrorCode.BAD_ADDRESS, "its address carries a user name or password")
    port = PORTS[parts.scheme] if port is None else port
    if not 0 < port < 65536:
        raise FetchError(ErrorCode.BAD_ADDRESS, f"its address has the port {port}")
    if _is_ip(host):
        check_resolved_ip(host, port, host, allowed)


def check_resolved_ip(host: str, port: int, address: str, allowed: AllowedHosts) -> None:
    """Refuse an IP address that a host resolved to, unless it is public or the operator named the host.

    Raises:
        FetchError: `private_address`.
    """
    if not allowed.covers(host, port) and not is_public(address):
        where = host if host == address else f"{host} ({address})"
        raise FetchError(
            ErrorCode.PRIVATE_ADDRESS,
            f"{where} is not a public address; name it in FETCH_ALLOW when it is meant to be reached",
        )


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when an IPv6 address wraps it."""
    try:
        ip: IPv4Address | IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and (inner := _embedded_ipv4(ip)) is not None:
        return is_public(str(inner))
    if isinstance(ip, IPv6Address) and ip not in _UNICAST:
        return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)


def _embedded_ipv4(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, NAT64, 6to4."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return IPv4Address((int(ip) >> 80) & 0xFFFFFFFF) if ip in _6TO4 else None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _normalised(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
