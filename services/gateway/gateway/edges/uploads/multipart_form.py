"""Reads `multipart/form-data` as it arrives: fields into memory, the file onto disk, within limits."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from gateway.core.uploads.domain.upload_types import (
    ACCEPTED,
    MOST_BYTES,
    SNIFF_BYTES,
    FileType,
    recognise,
    too_large,
)
from gateway.edges.http.request_body import too_large as refuse_size
from servicekit.errors import FieldProblem, Invalid

_MOST_FIELDS = 64
_FIELD_BYTES = 64 * 1024
_OVERHEAD = 1024 * 1024
"""Bytes of fields, part headers and boundaries beside the file."""


@dataclass
class Spooled:
    """A file on our disk: where, what it is, how long, its SHA-256, and the name that its sender gave it."""

    path: Path
    found: FileType
    size: int
    sha256: str
    filename: str


@dataclass
class Form:
    """A form that was read to its end."""

    fields: list[tuple[str, str]]
    file: Spooled


@asynccontextmanager
async def receive(request: Request) -> AsyncIterator[Form]:
    """Read the request's form; the file is removed again at the end of the block.

    Raises:
        Invalid: not a form that can be read (400), or no file of a kind we take (422, field `file`).
        HTTPException: 413 as soon as the file has more bytes than its kind may have.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MOST_BYTES + _OVERHEAD:
        refuse_size(too_large(None))
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Invalid("send the file as multipart/form-data with a boundary, or JSON with a source_url")
    with tempfile.TemporaryDirectory(prefix="rushes-upload-") as folder:
        reader = _Reader(boundary, Path(folder) / "file")
        try:
            received = 0
            async for chunk in request.stream():
                received += len(chunk)
                if received > MOST_BYTES + _OVERHEAD:
                    refuse_size(too_large(reader.found))
                reader.feed(chunk)
            form = reader.finish()
        finally:
            reader.close()
        yield form


@dataclass
class _Part:
    name: str = ""
    filename: str | None = None
    value: bytearray = field(default_factory=bytearray)


class _Reader:
    """What the parser calls back."""

    def __init__(self, boundary: bytes, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0
        self._start = bytearray()
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._headers: dict[str, bytes] = {}
        self._fields: list[tuple[str, str]] = []
        self._filename: str | None = None
        self._ended = False
        self.found: FileType | None = None
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Invalid(f"the form cannot be read: {error}", code="malformed") from error

    def finish(self) -> Form:
        if not self._ended:
            raise Invalid("the form ends before its last boundary: it was cut off", code="malformed")
        if self._filename is None or self._size == 0:
            _refuse("is required: send one file" if self._filename is None else "is empty")
        if self.found is None:
            self._recognise()
        assert self.found is not None and self._filename is not None  # noqa: S101, PT018  # for the types: see above
        self._file.flush()
        file = Spooled(self._path, self.found, self._size, self._hash.hexdigest(), _label(self._filename))
        return Form(self._fields, file)

    def close(self) -> None:
        self._file.close()

    def _begin(self) -> None:
        self._part, self._headers = _Part(), {}

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.decode("latin-1").lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            return
        self._part.filename = options[b"filename"].decode("utf-8", "replace")
        if self._part.name != "file":
            raise Invalid(
                f"{self._part.name[:64]}: only the field file may hold a file",
                fields=[FieldProblem(self._part.name[:64], "may not hold a file: only the field file may")],
            )
        if self._filename is not None:
            _refuse("stands twice: one file in a request")
        self._filename = self._part.filename

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.filename is None:
            self._part.value += data[start:end]
            if len(self._part.value) > _FIELD_BYTES:
                refuse_size(f"the field {self._part.name[:64]} has more than {_FIELD_BYTES} bytes")
            return
        piece = data[start:end]
        self._size += len(piece)
        if self.found is None:
            self._start += piece
            if len(self._start) >= SNIFF_BYTES:
                self._recognise()
        if self._size > (self.found.most_bytes if self.found else MOST_BYTES):
            refuse_size(too_large(self.found))
        self._hash.update(piece)
        self._file.write(piece)

    def _part_end(self) -> None:
        if self._part.filename is None:
            if len(self._fields) >= _MOST_FIELDS:
                raise Invalid(f"the form has more than {_MOST_FIELDS} fields", code="malformed")
            self._fields.append((self._part.name, self._part.value.decode("utf-8", "replace")))

    def _end(self) -> None:
        self._ended = True

    def _recognise(self) -> None:
        self.found = recognise(bytes(self._start))
        if self.found is None:
            _refuse(f"is none of the kinds that are taken ({ACCEPTED}), by its content")


def _label(filename: str) -> str:
    """The file's name without folders and control characters: only ever a label."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in name if letter.isprintable()).strip()[:255] or "upload"


def _refuse(told: str) -> None:
    raise Invalid(f"file {told}", fields=[FieldProblem("file", told)])
