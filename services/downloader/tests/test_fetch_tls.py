"""Origins over TLS: a real one on this machine, with an authority of its own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
import trustme

from downloader.adapters.fetching.blob_store import Blobs
from downloader.adapters.fetching.http_origin import HttpOrigin
from downloader.core.fetching.domain.fetch_errors import Code
from downloader.core.fetching.domain.ssrf_guard import parse_allowed
from downloader.core.fetching.fetch import Fetcher
from servicekit.testing import tcp_server


@dataclass
class Secure:
    """An origin `https://localhost`, a bench that trusts its authority, and one that does not."""

    origin: object
    bench: object
    stranger: object


@pytest_asyncio.fixture
async def secure(bench, blobs, prober, origin) -> AsyncIterator[Secure]:
    authority = trustme.CA()
    proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(proof)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    served = type(origin)(where="https://localhost")
    allowed = parse_allowed(["localhost", "127.0.0.1"])
    origins = [HttpOrigin(allowed, idle_s=0.5, tls=tls) for tls in (trust, None)]
    benches = [
        replace(
            bench,
            origin=http,
            fetcher=Fetcher(
                origin=http,
                store=Blobs(blobs),
                spool=bench.spool,
                prober=prober,
                clock=bench.clock,
                allowed=allowed,
                limits=bench.fetcher.limits,
            ),
        )
        for http in origins
    ]
    async with tcp_server(served.handle, tls=proof) as served.port:
        yield Secure(served, *benches)
        for http in origins:
            await http.stop()
        await served.close()


async def test_a_file_over_tls_is_stored_and_resumed(secure, media) -> None:
    data = media["mp4"]

    async def reset(asked, reply) -> None:
        await reply.head(200, Content_Length=len(data), ETag='"v1"')
        await reply.send(data[:10_000])
        reply.reset()

    url = secure.origin.in_turn(reset, secure.origin.rest_of(data, ETag='"v1"'))
    await secure.bench.stores(secure.bench.wanted(url), data)
    assert [asked.start for asked in secure.origin.asked] == [None, 10_000]
    assert {asked.headers["host"] for asked in secure.origin.asked} == {f"localhost:{secure.origin.port}"}


async def test_a_redirect_that_stays_secure_is_followed(secure, media) -> None:
    elsewhere = secure.origin.serve(media["mp4"], "/elsewhere.mp4")
    await secure.bench.stores(
        secure.bench.wanted(secure.origin.does(secure.origin.to(elsewhere))), media["mp4"]
    )


async def test_a_redirect_from_https_to_http_is_refused(secure, origin, media) -> None:
    plain = origin.serve(media["mp4"])
    failure = await secure.bench.refused(secure.bench.wanted(secure.origin.does(secure.origin.to(plain))))
    assert failure.code is Code.REDIRECTS
    assert "from https to http" in failure.message
    assert origin.asked == []


@pytest.mark.parametrize("case", ["another name", "another authority"])
async def test_a_certificate_that_proves_nothing_is_refused(secure, media, case) -> None:
    """And nothing is asked for: no request is sent to whoever answers there."""
    url = secure.origin.serve(media["mp4"])
    bench = secure.bench
    if case == "another name":
        url = url.replace("localhost", "127.0.0.1")  # answers the same, but its certificate is not for it
    else:
        bench = secure.stranger
    failure = await bench.refused(bench.wanted(url))
    assert failure.code is Code.UNREACHABLE
    assert "(TLS)" in failure.message
    assert str(secure.origin.port) not in failure.message
    assert secure.origin.asked == []
