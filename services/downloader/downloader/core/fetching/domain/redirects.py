"""Decides how far, and where to, a redirect is followed."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

MAX_REDIRECTS = 5
"""For one request."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


def redirect_target(url: str, location: str | None, *, followed: int) -> str:
    """The next address after `followed` redirects so far. The caller checks it like the first one.

    Raises:
        FetchError: `redirects`: one too many, without a Location, or from https down to http.
    """
    if followed >= MAX_REDIRECTS:
        raise FetchError(ErrorCode.REDIRECTS, f"it is redirected more than {MAX_REDIRECTS} times")
    if not location or not location.strip():
        raise FetchError(ErrorCode.REDIRECTS, "it is redirected without saying where to")
    try:
        target = urljoin(url, location.strip().replace(" ", "%20"))  # as browsers do
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise FetchError(ErrorCode.REDIRECTS, "it is redirected to an address that cannot be read") from error
    if urlsplit(url).scheme == "https" and scheme == "http":
        raise FetchError(
            ErrorCode.REDIRECTS, "it is redirected from https to http, where anybody may change it"
        )
    return target
