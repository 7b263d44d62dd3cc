"""The private methods of `minio` that we use, in one place: an upgrade that moves them breaks here.

Why private: the client's public `put_object` pulls from a blocking file object and keeps three parts in
memory, where we push parts from asyncio as they fill; the multipart calls for that exist only as private
methods. And over http the client hashes every body with SHA-256, in its private `_build_headers`. The tests
of this package run all of it against a real store.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from isal import isal_zlib
from minio import Minio
from minio.datatypes import Part

_CHECKSUM = "x-amz-checksum-crc32"


class UnsignedBodyMinio(Minio):
    """`Minio`, which leaves a body unsigned where its CRC-32 goes with it.

    A SHA-256 of every part over http, which not every store verifies, took as long as the rest of sending it.
    Over https the client signs no body either.
    """

    def _build_headers(
        self,
        host: str,
        headers: Any = None,
        body: bytes | None = None,
        creds: Any = None,
    ) -> tuple[Any, datetime]:
        if not body or not creds or _CHECKSUM not in (headers or {}):
            return super()._build_headers(host, headers, body, creds)
        built, date = super()._build_headers(host, headers, None, creds)
        return built | {"Content-Length": str(len(body)), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, date


class Multipart:
    """S3's multipart calls, and the single PUT with headers. Entity tags come without quotes.

    The store verifies what arrives. Over https the client sends a Content-MD5. Over http it would sign a
    SHA-256, which MinIO verifies and SeaweedFS ignores: `checksum` sends a CRC-32 instead, which both verify
    and which costs a thirtieth. (S3 itself takes it only for uploads begun with it; its address is https.)
    """

    def __init__(self, minio: Minio, bucket: str, *, checksum: bool) -> None:
        self._minio: Any = minio
        self._bucket = bucket
        self._checksum = checksum

    def put(self, key: str, data: bytes | bytearray, headers: dict[str, str]) -> str:
        sent = headers | self._checksum_header(data)
        return str(self._minio._put_object(self._bucket, key, data, sent).etag)  # noqa: SLF001  # see the module

    def create(self, key: str, headers: dict[str, str]) -> str:
        upload: str = self._minio._create_multipart_upload(self._bucket, key, headers)  # noqa: SLF001  # see the module
        return upload

    def part(self, key: str, data: bytes | bytearray, upload: str, number: int) -> Part:
        sent = self._checksum_header(data)
        etag = self._minio._upload_part(self._bucket, key, data, sent, upload, number)  # noqa: SLF001  # see the module
        return Part(number, etag)

    def complete(self, key: str, upload: str, parts: list[Part]) -> str:
        done = self._minio._complete_multipart_upload(self._bucket, key, upload, parts)  # noqa: SLF001  # see the module
        return str(done.etag or "").strip('"')

    def abort(self, key: str, upload: str) -> None:
        self._minio._abort_multipart_upload(self._bucket, key, upload)  # noqa: SLF001  # see the module

    def stale(self, before: datetime) -> list[tuple[str, str]]:
        """(key, upload) of every upload begun before that time."""
        found: list[tuple[str, str]] = []
        key_marker: str | None = None
        upload_marker: str | None = None
        while True:
            page = self._minio._list_multipart_uploads(  # noqa: SLF001  # see the module
                self._bucket, key_marker=key_marker, upload_id_marker=upload_marker
            )
            found.extend(
                (upload.object_name, upload.upload_id)
                for upload in page.uploads
                if upload.initiated_time is None or upload.initiated_time < before
            )
            if not page.is_truncated:
                return found
            key_marker, upload_marker = page.next_key_marker, page.next_upload_id_marker

    def _checksum_header(self, data: bytes | bytearray) -> dict[str, str]:
        if not self._checksum:
            return {}
        return {_CHECKSUM: base64.b64encode(isal_zlib.crc32(data).to_bytes(4, "big")).decode()}
