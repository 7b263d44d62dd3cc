"""Reads a form as it arrives: its fields into a request message, its file onto the disk, within limits."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from google.protobuf.message import Message
from multipart import (  # type: ignore[import-untyped]  # it has types, and no py.typed
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)
from starlette.requests import Request

from gateway.core.uploads.domain import ACCEPTED, most_bytes, recognise, size_problem
from gateway.edges.http.request_body import refuse_size
from gateway.edges.rest.transcoding.binding import bind_form
from gateway.edges.rest.transcoding.descriptors import FORM
from mediakit.formats import HEAD, Format
from servicekit.errors import Invalid
from servicekit.grpc.rules import check
from servicekit.process.scratch_dir import ScratchDir

_MOST_PARTS = 65
_FIELD_BYTES = 64 * 1024
_OVERHEAD = 1024 * 1024
"""Bytes of fields, part headers and boundaries beside the file."""


@dataclass(frozen=True)
class SpooledFile:
    """A file on our disk, and the name that its sender gave it."""

    path: Path
    format: Format
    size: int
    sha256: str
    filename: str


@dataclass(frozen=True)
class UploadForms:
    """Receives forms; files lie in a folder of this process: the next start removes what a dead one left."""

    folder: ScratchDir

    @asynccontextmanager
    async def receive(self, request: Request, message: Message) -> AsyncIterator[SpooledFile]:
        """Read the request's form into the message and a file, which is removed at the end of the block.

        Raises:
            Invalid: not a form that can be read (400); no file of a type we accept, or a wrong field (422).
            HTTPException: 413 as soon as the file has more bytes than its type may have.
        """
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most_bytes(None) + _OVERHEAD:
            refuse_size(size_problem(None))
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get("boundary", "")
        if kind != FORM or not boundary:
            raise Invalid("send the file as multipart/form-data with a boundary, or JSON with a source_url")
        with tempfile.TemporaryDirectory(prefix="upload-", dir=self.folder.path) as folder:
            path = Path(folder) / "file"
            with path.open("wb") as file:
                form = _Form(file)
                await _parse(request, boundary, form)
            bind_form(message, form.fields)
            spooled = form.spooled(path)
            check(message)
            yield spooled


async def _parse(request: Request, boundary: str, form: _Form) -> None:
    received = 0
    try:
        # Latin-1 keeps every byte of a name: people's tools send UTF-8, and some something else.
        with PushMultipartParser(boundary, max_segment_count=_MOST_PARTS, header_charset="latin-1") as parser:
            async for chunk in request.stream():
                received += len(chunk)
                if received > most_bytes(None) + _OVERHEAD:
                    refuse_size(size_problem(form.format))
                for event in parser.parse(chunk) if chunk else ():
                    form.take(event)
    except MultipartError as error:
        raise Invalid(f"the form cannot be read: {error}", code="malformed") from error


class _Form:
    """What has been read of a form so far."""

    def __init__(self, file: BinaryIO) -> None:
        self.fields: list[tuple[str, str]] = []
        self.format: Format | None = None
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self._start = b""
        self._filename: str | None = None
        self._name = ""
        self._text: bytearray | None = None
        """The value of a text field; None while the file is read."""

    def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take an event of the parser: the head of a part, some of its bytes, or None at its end."""
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            if self._text is not None:
                self.fields.append((self._name, self._text.decode("utf-8", "replace")))
        elif self._text is None:
            self._write(event)
        else:
            self._text += event
            if len(self._text) > _FIELD_BYTES:
                refuse_size(f"the field {self._name[:64]} has more than {_FIELD_BYTES} bytes")

    def spooled(self, path: Path) -> SpooledFile:
        """The file, when the form has one that we accept."""
        if self._filename is None or not self._size:
            _refuse("is required: send one file" if self._filename is None else "is empty")
        found = self.format or self._recognise()
        return SpooledFile(path, found, self._size, self._hash.hexdigest(), _label(self._filename))

    def _begin(self, part: MultipartSegment) -> None:
        self._name = _text(part.name or "")
        self._text = bytearray() if part.filename is None else None
        if part.filename is None:
            return
        if self._name != "file":
            name = self._name[:64]
            message = "may not hold a file: only the field file may"
            raise Invalid.field(name, message, sentence=f"{name} {message}")
        if self._filename is not None:
            _refuse("stands twice: one file in a request")
        self._filename = _text(part.filename)

    def _write(self, data: bytes | bytearray) -> None:
        self._size += len(data)
        if self.format is None:
            self._start += data
            if len(self._start) >= HEAD:
                self.format = self._recognise()
        if self._size > most_bytes(self.format):
            refuse_size(size_problem(self.format))
        self._hash.update(data)
        self._file.write(data)

    def _recognise(self) -> Format:
        found = recognise(self._start)
        if found is None:
            _refuse(f"is none of the kinds that are taken ({ACCEPTED}), by its content")
        return found


def _text(name: str) -> str:
    return name.encode("latin-1", "replace").decode("utf-8", "replace")


def _label(filename: str) -> str:
    """The file's name without folders and control characters: only ever a label."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in name if letter.isprintable()).strip()[:255] or "upload"


def _refuse(message: str) -> NoReturn:
    raise Invalid.field("file", message, sentence=f"file {message}")
