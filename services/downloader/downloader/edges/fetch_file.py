"""Serves FetchFile: a person names a file by its address, and waits for it."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import grpc.aio

from downloader.core.fetching.domain.data_urls import is_data_url
from downloader.core.fetching.domain.fetch_errors import FetchError, GiveUp
from downloader.core.fetching.domain.media import FetchRequest, StoredFile
from downloader.core.fetching.fetch import Fetcher
from downloader.core.scheduling.ports import Claims
from downloader.proto_enums import facts_to_proto, kind_from_proto
from rushes.downloader.v1 import downloader_pb2_grpc
from rushes.downloader.v1.downloader_pb2 import FetchFileRequest, FetchFileResponse
from servicekit.errors import FieldProblem, Invalid, Limited, Unavailable

_STEM = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


class DownloaderServicer(downloader_pb2_grpc.DownloaderServiceServicer):
    """One try without retries: a person decides by himself whether to try again."""

    def __init__(self, fetcher: Fetcher, claims: Claims) -> None:
        self._fetcher = fetcher
        self._claims = claims

    async def FetchFile(
        self,
        request: FetchFileRequest,
        _context: grpc.aio.ServicerContext[FetchFileRequest, FetchFileResponse],
    ) -> FetchFileResponse:
        """Fetch, check and store it. The same request again finds what is stored."""
        if not _STEM.fullmatch(request.blob_key_stem):
            text = "letters, digits, _ and -, with a / between the parts, such as assets/ast_1/original"
            raise Invalid.field(
                "blob_key_stem", text, sentence=f"blob_key_stem {request.blob_key_stem!r} is no key: {text}"
            )
        file = FetchRequest(
            request.source_url,
            request.blob_key_stem,
            required_kind=kind_from_proto(request.kind),
            max_bytes=request.max_bytes,
        )
        async with self._claims.claim(file.stem) as is_ours:
            if not is_ours:
                raise Limited(f"{file.stem} is being fetched already", retry_after=2.0, code="busy")
            try:
                stored = await self._fetcher.find_readable(file) or await self._fetch(file)
            except FetchError as error:
                raise _refusal(error) from error
        extension = stored.key.rpartition(".")[2]
        return FetchFileResponse(
            blob_key=stored.key,
            facts=facts_to_proto(stored),
            filename=filename(request.source_url, extension),
        )

    async def _fetch(self, file: FetchRequest) -> StoredFile:
        async with self._fetcher.begin(file) as fetch:
            return await fetch.try_once()


def _refusal(error: FetchError) -> Invalid | Unavailable:
    if error.give_up is GiveUp.AT_EXPIRY:
        return Unavailable(
            f"the file cannot be fetched now: {error.message}; try again",
            code=error.code,
            retry_after=error.retry_after,
        )
    return Invalid(
        f"the file at source_url is refused: {error.message}",
        code=error.code,
        fields=[FieldProblem("source_url", error.message)],
    )


def filename(url: str, extension: str) -> str:
    """The file name that an address suggests, with the extension of what was found."""
    last = "" if is_data_url(url) else unquote(urlsplit(url).path).rpartition("/")[2]
    name = _NOT_IN_NAMES.sub("_", last).strip(" .")[:200]
    stem, _, old = name.rpartition(".")
    if stem and re.fullmatch(r"[A-Za-z0-9]{1,5}", old):
        name = stem
    return f"{name or 'file'}.{extension}"
