"""Work that comes by call: fetching a file that a person names by its address."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import grpc.aio

from downloader.core.containers.domain import Stored
from downloader.core.fetching.domain.fetch_errors import FetchFailed, Patience
from downloader.core.fetching.existing_blob import Unreadable
from downloader.core.fetching.fetch import Fetcher, Wanted
from downloader.core.fetching.ports import Claims
from downloader.proto_enums import facts_to_wire, kind_from_wire
from rushes.downloader.v1 import downloader_pb2_grpc
from rushes.downloader.v1.downloader_pb2 import DESCRIPTOR, FetchFileRequest, FetchFileResponse
from servicekit.errors import FieldProblem, Invalid, Limited, Unavailable

SERVICE = DESCRIPTOR.services_by_name["DownloaderService"].full_name

_STEM = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


class DownloaderServicer(downloader_pb2_grpc.DownloaderServiceServicer):
    """See protos/rushes/downloader/v1."""

    def __init__(self, fetcher: Fetcher, claims: Claims) -> None:
        self._fetcher = fetcher
        self._claims = claims

    async def FetchFile(
        self,
        request: FetchFileRequest,
        _context: grpc.aio.ServicerContext[FetchFileRequest, FetchFileResponse],
    ) -> FetchFileResponse:
        """Fetch, check and store it; the same request again finds what is stored."""
        if not _STEM.fullmatch(request.blob_key_stem):
            text = "letters, digits, _ and -, with a / between the parts, such as assets/ast_1/original"
            raise Invalid(
                f"blob_key_stem {request.blob_key_stem!r} is no key: {text}",
                fields=[FieldProblem("blob_key_stem", text)],
            )
        wanted = Wanted(
            request.source_url,
            request.blob_key_stem,
            kind_from_wire(request.kind),
            max_bytes=request.max_bytes,
            patient=False,
        )
        async with self._claims.hold(wanted.stem) as mine:
            if not mine:
                raise Limited(f"{wanted.stem} is being fetched already", retry_after=2.0, code="busy")
            try:
                stored = await self._stored(wanted) or await self._fetcher.fetch(wanted)
            except FetchFailed as failure:
                raise _refused(failure) from failure
        extension = stored.key.rpartition(".")[2]
        return FetchFileResponse(
            blob_key=stored.key,
            facts=facts_to_wire(stored),
            filename=filename(request.source_url, extension),
        )

    async def _stored(self, wanted: Wanted) -> Stored | None:
        try:
            return await self._fetcher.stored(wanted)
        except Unreadable:  # the person who waits still has the address: it is stored anew
            return None


def _refused(failure: FetchFailed) -> Invalid | Unavailable:
    if failure.patience is Patience.UNTIL_EXPIRY:
        return Unavailable(
            f"the file cannot be fetched now: {failure.message}; try again",
            code=failure.code,
            retry_after=failure.retry_after,
        )
    return Invalid(
        f"the file at source_url is refused: {failure.message}",
        code=failure.code,
        fields=[FieldProblem("source_url", failure.message)],
    )


def filename(url: str, extension: str) -> str:
    """The file name that an address suggests, with the extension of what was found."""
    last = "" if url[:5].lower() == "data:" else unquote(urlsplit(url).path).rpartition("/")[2]
    name = _NOT_IN_NAMES.sub("_", last).strip(" .")[:200]
    stem, _, old = name.rpartition(".")
    if stem and re.fullmatch(r"[A-Za-z0-9]{1,5}", old):
        name = stem
    return f"{name or 'file'}.{extension}"
