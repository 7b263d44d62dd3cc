"""Unpacks what an origin compressed, though the request wanted it as it is, and takes the rest as it comes.

Many origins send a Content-Encoding that says nothing about compression (`aws-chunked` is left over from an
upload to S3, `utf-8` is a mistake), and some name one that they have not applied.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from mediakit.formats import HEAD, sniff

_INFLATED = frozenset({"gzip", "x-gzip", "deflate"})
_UNSUPPORTED = frozenset({"br", "compress", "dcb", "dcz", "x-compress", "zstd"})
"""The other compressions that are registered (IANA, HTTP Content Coding Registry)."""

_MAX_LAYERS = 2
"""Compressions on top of each other: more would serve nobody but a decompression bomb."""

_PIECE = 1024 * 1024
"""Bytes unpacked at once, however well they are compressed: they count against the most that is accepted
before the next are unpacked."""

_GZIP_MAGIC = b"\x1f\x8b"


def compressions(content_encoding: str | None) -> tuple[str, ...]:
    """The compressions that the header names, in the order in which they were applied.

    Raises:
        FetchError: `encoded`: one that cannot be unpacked here, or too many of them.
    """
    codings = [coding.strip().lower() for coding in (content_encoding or "").split(",")]
    if unsupported := [coding for coding in codings if coding in _UNSUPPORTED]:
        raise FetchError(ErrorCode.ENCODED, f"the origin sent it with the Content-Encoding {unsupported[0]}")
    found = tuple(coding for coding in codings if coding in _INFLATED)
    if len(found) > _MAX_LAYERS:
        raise FetchError(ErrorCode.ENCODED, f"the origin has compressed it {len(found)} times")
    return found


class Unpacker:
    """Unpacks the body of one response.

    Args:
        applied: see `compressions`. What is media as it comes was not compressed, whatever the header says.
    """

    def __init__(self, applied: tuple[str, ...]) -> None:
        self._layers = [_Inflater(coding) for coding in reversed(applied)]
        self._head: bytearray | None = bytearray() if applied else None

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes of the body unpack to, in pieces of at most 1 MiB if they are compressed.

        Raises:
            FetchError: `encoded`: they are not what the header says.
        """
        if self._head is not None:
            self._head += data
            if len(self._head) < HEAD:
                return
            data = self._take_head()
        yield from self._through(self._layers, data)

    def finish(self) -> Iterator[bytes]:
        """What is left when the body has ended. Raises as `unpack`, also when it has ended too early."""
        if self._head is not None:
            yield from self._through(self._layers, self._take_head())
        for layer in self._layers:
            layer.check_end()

    def _take_head(self) -> bytes:
        head, self._head = bytes(self._head or b""), None
        if sniff(head) is not None:
            self._layers = []
        return head

    def _through(self, layers: list[_Inflater], data: bytes) -> Iterator[bytes]:
        if not layers:
            yield data
            return
        for piece in layers[0].inflate(data):
            yield from self._through(layers[1:], piece)


class _Inflater:
    """Undoes one compression: gzip, or deflate with its header or, as some send it, without."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._waiting = b""
        """A byte that alone does not show how what comes next begins."""
        self._stream: zlib._Decompress | None = None
        self._has_ended = False

    def inflate(self, data: bytes) -> Iterator[bytes]:
        data, self._waiting = self._waiting + data, b""
        while data:
            if self._stream is None:
                if len(data) < 2:
                    self._waiting = data
                    return
                if self._has_ended and not (self._coding != "deflate" and data.startswith(_GZIP_MAGIC)):
                    return  # neither another member of a gzip file nor anything else: gzip ignores it too
                self._stream, self._has_ended = self._begin(data), False
            yield from self._pieces(self._stream, data)
            data = self._stream.unused_data
            if self._stream.eof:
                self._stream, self._has_ended = None, True

    def check_end(self) -> None:
        if not self._has_ended:
            raise FetchError(ErrorCode.ENCODED, f"it ends in the middle of its {self._coding}")

    def _begin(self, head: bytes) -> zlib._Decompress:
        if self._coding != "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        has_header = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0  # RFC 1950, 2.2
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)

    def _pieces(self, stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = stream.decompress(data, _PIECE)
            except zlib.error as error:
                raise FetchError(ErrorCode.ENCODED, f"its {self._coding} is broken ({error})") from error
            data = stream.unconsumed_tail
            if piece:
                yield piece
            if stream.eof or (not data and len(piece) < _PIECE):
                return
