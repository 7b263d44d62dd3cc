"""Outputs that lie inside their own address (`data:`, RFC 2397), decoded a piece at a time."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed

_PIECE = 256 * 1024  # characters decoded at once; a multiple of 4
_BLANK = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)


def is_data(url: str) -> bool:
    """Whether the address carries its content itself."""
    return url[:5].lower() == "data:"


def decode(url: str) -> Iterator[bytes]:
    """The content in pieces of at most 192 KiB (base64) or 256 KiB.

    Raises:
        FetchFailed: `bad_address`: no comma, or not base64 where it says so.
    """
    header, comma, _ = url[:1024].partition(",")
    if not comma:
        raise FetchFailed(Code.BAD_ADDRESS, "its data: address has no comma after the media type")
    if header.lower().endswith(";base64"):
        yield from _base64(url, len(header) + 1)
        return
    position = len(header) + 1
    while position < len(url):
        end = position + _PIECE
        # An escape is three characters: never cut one in two.
        if (mark := url.rfind("%", max(end - 2, position), end)) >= 0:
            end = mark if mark > position else end + 2
        yield unquote_to_bytes(url[position:end])
        position = end


def _base64(url: str, position: int) -> Iterator[bytes]:
    rest = ""
    while position < len(url) or rest:
        fresh = url[position : position + _PIECE]
        position += _PIECE
        if "%" in fresh:
            raise FetchFailed(Code.BAD_ADDRESS, "its data: address is escaped inside its base64")
        text = rest + _BLANK.sub("", fresh).replace("-", "+").replace("_", "/")
        last = position >= len(url)
        cut = len(text) if last else len(text) // 4 * 4
        piece, rest = text[:cut], text[cut:]
        if not last and "=" in piece:
            raise FetchFailed(Code.BAD_ADDRESS, "its data: address goes on after its base64 has ended")
        if not _BASE64.fullmatch(piece):
            raise FetchFailed(Code.BAD_ADDRESS, "its data: address is not base64, though it says so")
        try:
            yield binascii.a2b_base64(piece + "=" * (-len(piece) % 4))
        except binascii.Error as error:
            raise FetchFailed(
                Code.BAD_ADDRESS, "its data: address is not base64, though it says so"
            ) from error
