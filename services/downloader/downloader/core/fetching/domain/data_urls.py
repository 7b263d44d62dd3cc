"""Decodes outputs that lie inside their own address (`data:`, RFC 2397), a piece at a time."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

_PIECE = 256 * 1024
"""Characters decoded at once; a multiple of 4, as base64 needs it."""

_BLANKS = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)


def is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def decode_data_url(url: str) -> Iterator[bytes]:
    """The content in pieces of at most 192 KiB (base64) or 256 KiB.

    Raises:
        FetchError: `bad_address`: no comma, or not base64 where it says so.
    """
    header, comma, _ = url[:1024].partition(",")
    if not comma:
        raise FetchError(ErrorCode.BAD_ADDRESS, "its data: address has no comma after the media type")
    if header.lower().endswith(";base64"):
        yield from _decode_base64(url, len(header) + 1)
        return
    position = len(header) + 1
    while position < len(url):
        end = position + _PIECE
        # An escape is three characters: never cut one in two.
        if (mark := url.rfind("%", max(end - 2, position), end)) >= 0:
            end = mark if mark > position else end + 2
        yield unquote_to_bytes(url[position:end])
        position = end


def _decode_base64(url: str, position: int) -> Iterator[bytes]:
    rest = ""
    while position < len(url) or rest:
        fresh = url[position : position + _PIECE]
        position += _PIECE
        if "%" in fresh:
            raise FetchError(ErrorCode.BAD_ADDRESS, "its data: address is escaped inside its base64")
        text = rest + _BLANKS.sub("", fresh).replace("-", "+").replace("_", "/")
        is_last = position >= len(url)
        cut = len(text) if is_last else len(text) // 4 * 4
        piece, rest = text[:cut], text[cut:]
        if not is_last and "=" in piece:
            raise FetchError(ErrorCode.BAD_ADDRESS, "its data: address goes on after its base64 has ended")
        if not _BASE64.fullmatch(piece):
            raise FetchError(ErrorCode.BAD_ADDRESS, "its data: address is not base64, though it says so")
        try:
            yield binascii.a2b_base64(piece + "=" * (-len(piece) % 4))
        except binascii.Error as error:
            raise FetchError(
                ErrorCode.BAD_ADDRESS, "its data: address is not base64, though it says so"
            ) from error
