"""Which addresses may be fetched from: by example, and for every address there is."""

from __future__ import annotations

import ipaddress

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.adapters.fetching.guarded_network import GuardedBackend
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.responses import MAX_REDIRECTS, redirect_target
from downloader.core.fetching.domain.ssrf_guard import AllowedHosts, check_url, is_public, parse_allowed_hosts
from downloader.core.scheduling.domain.outputs import ExpectedHosts

NO_EXCEPTIONS = AllowedHosts()


def code_of(url: str, allowed: AllowedHosts = NO_EXCEPTIONS) -> ErrorCode | None:
    try:
        check_url(url, allowed)
    except FetchError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1",
        "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
        "nonsense", "",
    ],
)  # fmt: skip
def test_not_public(address) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
    ],
)
def test_public(address) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_changes_nothing(ip) -> None:
    number = int(ip)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80))
    assert (
        is_public(str(ip)) == is_public(str(mapped)) == is_public(str(nat64)) == is_public(str(six_to_four))
    )


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_public(ip) -> None:
    if (
        ip.is_private
        or ip.is_loopback
        or ip.is_link_local
        or ip.is_multicast
        or ip.is_reserved
        or ip.is_unspecified
    ):
        inner = getattr(ip, "ipv4_mapped", None) or (
            ip.version == 6 and ip in ipaddress.ip_network("64:ff9b::/96")
        )
        assert inner or not is_public(str(ip))


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text) -> None:
    for url in (text, f"http://{text}", f"https://example.org/{text}"):
        assert code_of(url) in (None, ErrorCode.BAD_ADDRESS, ErrorCode.PRIVATE_ADDRESS)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://replicate.delivery/xezq/a/out.mp4", None),
        ("http://example.org:8080/x?y=z", None),
        ("https://[2606:4700::1111]/x", None),
        ("https://example.org/\N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL}.png", None),
        ("https://example.org/a\x85b", ErrorCode.BAD_ADDRESS),
        ("ftp://example.org/x", ErrorCode.BAD_ADDRESS),
        ("file:///etc/passwd", ErrorCode.BAD_ADDRESS),
        ("//example.org/x", ErrorCode.BAD_ADDRESS),
        ("https:///x", ErrorCode.BAD_ADDRESS),
        ("https://user:secret@example.org/x", ErrorCode.BAD_ADDRESS),
        ("https://example.org:99999/x", ErrorCode.BAD_ADDRESS),
        ("https://example.org\\@127.0.0.1/", ErrorCode.BAD_ADDRESS),
        ("https://exa mple.org/", ErrorCode.BAD_ADDRESS),
        ("https://example.org/\r\nHost: x", ErrorCode.BAD_ADDRESS),
        ("https://[::1", ErrorCode.BAD_ADDRESS),
        ("http://127.0.0.1/x", ErrorCode.PRIVATE_ADDRESS),
        ("http://[::ffff:10.0.0.1]/x", ErrorCode.PRIVATE_ADDRESS),
        ("http://169.254.169.254/latest/meta-data", ErrorCode.PRIVATE_ADDRESS),
    ],
)
def test_addresses(url, code) -> None:
    assert code_of(url) is code


def test_a_refusal_shows_no_full_address() -> None:
    for url in ("https://user:hush@example.org/secret", "gopher://example.org/secret?token=hush"):
        with pytest.raises(FetchError) as caught:
            check_url(url, NO_EXCEPTIONS)
        assert "hush" not in caught.value.message
        assert "secret" not in caught.value.message


def test_the_allow_list() -> None:
    allowed = parse_allowed_hosts(["127.0.0.1:9100", "sandbox", "[::1]:80", "fd00::1", " Files.Local. "])
    assert code_of("http://127.0.0.1:9100/x", allowed) is None
    assert code_of("http://127.0.0.1:9101/x", allowed) is ErrorCode.PRIVATE_ADDRESS
    assert code_of("http://[::1]/x", allowed) is None
    assert code_of("http://[::1]:81/x", allowed) is ErrorCode.PRIVATE_ADDRESS
    assert code_of("http://[fd00::1]:7/x", allowed) is None
    assert allowed.covers("SANDBOX", 1234)
    assert allowed.covers("files.local", 80)
    assert not allowed.covers("sandbox.evil.org", 80)


@pytest.mark.parametrize("entry", ["", "http://host", "host/path", "host:port", "user@host", "host:99999"])
def test_an_entry_that_is_no_host(entry) -> None:
    with pytest.raises(ValueError, match="neither a host nor host:port"):
        parse_allowed_hosts([entry])


# Names ----------------------------------------------------------------------------------------------
class Recorder(httpcore.AsyncNetworkBackend):
    """Connects to nothing, and records where to."""

    def __init__(self) -> None:
        self.connected: list[str] = []

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.connected.append(host)
        if host == "1.1.1.1":
            raise httpcore.ConnectError("down")
        return object()


async def connect(monkeypatch, *answers: list[str]) -> tuple[Recorder, list[str]]:
    """Connect to a name whose every look-up answers the next of `answers`."""
    import asyncio

    loop, lookups, results = asyncio.get_running_loop(), [], iter(answers)

    async def getaddrinfo(host, port, **_):
        lookups.append(host)
        return [(2, 1, 6, "", (address, port)) for address in next(results)]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    recorder = Recorder()
    await GuardedBackend(NO_EXCEPTIONS, recorder).connect_tcp("rebind.example.org", 443, timeout=1)
    return recorder, lookups


async def test_a_name_is_resolved_once_and_exactly_that_is_connected_to(monkeypatch) -> None:
    recorder, lookups = await connect(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    assert (recorder.connected, lookups) == (["8.8.8.8"], ["rebind.example.org"])


async def test_the_next_address_is_tried(monkeypatch) -> None:
    recorder, _ = await connect(monkeypatch, ["1.1.1.1", "8.8.8.8"])
    assert recorder.connected == ["1.1.1.1", "8.8.8.8"]


async def test_one_private_address_among_public_ones_refuses_the_name(monkeypatch) -> None:
    with pytest.raises(FetchError) as caught:
        await connect(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    assert caught.value.code is ErrorCode.PRIVATE_ADDRESS


# Redirects ------------------------------------------------------------------------------------------
def test_redirects() -> None:
    assert redirect_target("https://a.org/x/y", "../z", followed=0) == "https://a.org/z"
    assert (
        redirect_target("http://a.org/x", "https://b.org/y", followed=MAX_REDIRECTS - 1) == "https://b.org/y"
    )
    for url, location, followed in (
        ("https://a.org/", "/x", MAX_REDIRECTS),
        ("https://a.org/", None, 0),
        ("https://a.org/", "http://a.org/", 0),
        ("https://a.org/", "http://[::1", 0),
    ):
        with pytest.raises(FetchError) as caught:
            redirect_target(url, location, followed=followed)
        assert caught.value.code is ErrorCode.REDIRECTS


# Hosts that are expected ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "unexpected"),
    [
        ("https://replicate.delivery/xezq/out.mp4", ""),
        ("https://tjzk.Replicate.delivery./cover.png", ""),
        ("https://replicate.delivery.evil.example/out.mp4", "replicate.delivery.evil.example"),
        ("https://notreplicate.delivery/out.mp4", "notreplicate.delivery"),
        ("http://sandbox:8000/out.mp4", ""),
        ("http://sandbox:8001/out.mp4", "sandbox"),
        ("http://plain/out.mp4", ""),
        ("data:image/png;base64,AAAA", ""),
        ("http://[not-an-address", ""),
    ],
)
def test_which_host_is_unexpected(url, unexpected) -> None:
    expected = ExpectedHosts(["replicate.delivery"], parse_allowed_hosts(["sandbox:8000", "plain:80"]))
    assert expected.unexpected_host(url) == unexpected
