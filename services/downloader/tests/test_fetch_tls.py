"""Origins over TLS: a real one on this machine, with an authority of its own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
import trustme

from downloader.adapters.blob_store import BlobStorage
from downloader.adapters.fetching.http_origin import HttpOrigin
from downloader.core.fetching.domain.fetch_errors import ErrorCode
from downloader.core.fetching.domain.ssrf_guard import parse_allowed_hosts
from downloader.core.fetching.fetch import Fetcher
from servicekit.testing import tcp_server


@dataclass
class Secure:
    """An origin `https://localhost`, a harness that trusts its authority, and one that does not."""

    origin: object
    harness: object
    distrusting: object


@pytest_asyncio.fixture
async def secure(harness, blobs, prober, origin) -> AsyncIterator[Secure]:
    authority = trustme.CA()
    proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(proof)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    served = type(origin)(where="https://localhost")
    allowed = parse_allowed_hosts(["localhost", "127.0.0.1"])
    origins = [HttpOrigin(allowed, idle_s=0.5, tls=tls) for tls in (trust, None)]
    harnesses = [
        replace(
            harness,
            origin=http,
            fetcher=Fetcher(
                origin=http,
                storage=BlobStorage(blobs),
                spool=harness.spool,
                prober=prober,
                clock=harness.clock,
                allowed=allowed,
                limits=harness.fetcher.limits,
            ),
        )
        for http in origins
    ]
    async with tcp_server(served.handle, tls=proof) as served.port:
        yield Secure(served, *harnesses)
        for http in origins:
            await http.stop()
        await served.close()


async def test_a_file_over_tls_is_stored_and_resumed(secure, media) -> None:
    data = media["mp4"]

    async def reset(request, reply) -> None:
        await reply.head(200, Content_Length=len(data), ETag='"v1"')
        await reply.send(data[:10_000])
        reply.reset()

    url = secure.origin.answer_in_turn(reset, secure.origin.rest_of(data, ETag='"v1"'))
    await secure.harness.expect_stored(secure.harness.request(url), data)
    assert [request.start for request in secure.origin.requests] == [None, 10_000]
    assert {request.headers["host"] for request in secure.origin.requests} == {
        f"localhost:{secure.origin.port}"
    }


async def test_a_redirect_that_stays_secure_is_followed(secure, media) -> None:
    elsewhere = secure.origin.serve(media["mp4"], "/elsewhere.mp4")
    await secure.harness.expect_stored(
        secure.harness.request(secure.origin.answer_with(secure.origin.to(elsewhere))), media["mp4"]
    )


async def test_a_redirect_from_https_to_http_is_refused(secure, origin, media) -> None:
    plain = origin.serve(media["mp4"])
    error = await secure.harness.refusal_of(secure.origin.answer_with(secure.origin.to(plain)))
    assert error.code is ErrorCode.REDIRECTS
    assert "from https to http" in error.message
    assert origin.requests == []


@pytest.mark.parametrize("case", ["another name", "another authority"])
async def test_a_certificate_that_proves_nothing_is_refused(secure, media, case) -> None:
    """And no request is sent to whoever answers there."""
    url = secure.origin.serve(media["mp4"])
    harness = secure.harness
    if case == "another name":
        url = url.replace("localhost", "127.0.0.1")  # answers the same, but its certificate is not for it
    else:
        harness = secure.distrusting
    error = await harness.refusal_of(url)
    assert error.code is ErrorCode.UNREACHABLE
    assert "(TLS)" in error.message
    assert str(secure.origin.port) not in error.message
    assert secure.origin.requests == []
