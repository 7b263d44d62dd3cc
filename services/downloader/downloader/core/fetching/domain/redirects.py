"""How far and where to follow an origin that points elsewhere."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed

MOST = 5
"""Redirects followed for one request."""

STATUSES = frozenset({301, 302, 303, 307, 308})


def follow(url: str, location: str | None, *, followed: int) -> str:
    """The next address after `followed` redirects so far. The caller checks it like the first one.

    Raises:
        FetchFailed: `redirects`: one too many, without a Location, or from https down to http.
    """
    if followed >= MOST:
        raise FetchFailed(Code.REDIRECTS, f"it is redirected more than {MOST} times")
    if not location:
        raise FetchFailed(Code.REDIRECTS, "it is redirected without saying where to")
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise FetchFailed(Code.REDIRECTS, "it is redirected to an address that cannot be read") from error
    if urlsplit(url).scheme == "https" and scheme == "http":
        raise FetchFailed(Code.REDIRECTS, "it is redirected from https to http, where anybody may change it")
    return target
