"""Turns assets into addresses that the provider can read: uploaded to it, inlined, or signed here.

Uploads come first: a run that is paid for must not fail because our gateway restarts while the model reads
its input. A provider that takes no uploads gets small files inline, and large ones by a signed address.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from cachetools import TLRUCache

from generator.adapters.runs.replicate_predictions import UploadedFile
from servicekit import signing
from servicekit.blobs import BlobInfo, BlobStore
from servicekit.clock import Clock
from servicekit.errors import AppError, Forbidden, Invalid, NotFound
from servicekit.ids import check_id

INLINE = 256 * 1000
"""Bytes up to which a file is inlined (docs/provider.md, Files)."""

LARGEST = 100 * 1024 * 1024
"""Bytes that the provider takes in an upload (docs/provider.md, Files)."""

_PREFIX = "asset:"
_CACHED = 20_000
_SPARE = timedelta(minutes=10)
_UPLOAD_LIFE = timedelta(hours=1)


class Upload(Protocol):
    """Puts a file where the provider's models can read it."""

    async def __call__(self, data: bytes, *, name: str, content_type: str) -> UploadedFile: ...


class BlobAssetUploads:
    """`AssetUploads` from the blob store.

    Args:
        public_url: where the provider reaches our gateway; empty when it cannot.
        signing_key: signs the addresses at the gateway.
        life: how long a signed address must work, from the moment the attempt was intended.
    """

    def __init__(
        self,
        blobs: BlobStore,
        upload: Upload,
        clock: Clock,
        *,
        public_url: str,
        signing_key: str,
        life: timedelta,
    ) -> None:
        self._blobs = blobs
        self._upload = upload
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._signing_key = signing_key
        self._life = life
        # Address and until when, by the clock that nobody sets: an address that is dead fails a paid run.
        self._uploaded: TLRUCache[str, tuple[str, float]] = TLRUCache(
            _CACHED, ttu=lambda _key, entry, _now: entry[1], timer=clock.monotonic
        )

    async def upload_ahead(self, asset_ids: Sequence[str]) -> None:
        """Upload the assets now; whatever is wrong with one, or on the way, is raised by `resolve`."""
        for asset_id in asset_ids:
            with contextlib.suppress(AppError):
                await self._address(asset_id, self._clock.now())

    async def resolve(
        self, value: Mapping[str, Any], asset_ids: Sequence[str], *, since: datetime
    ) -> dict[str, Any]:
        """The input with `asset:<id>` of each of these, at any depth, as an address."""
        addresses = {f"{_PREFIX}{each}": await self._address(each, since) for each in asset_ids}
        return {key: _replace(each, addresses) for key, each in value.items()}

    async def _address(self, asset_id: str, since: datetime) -> str:
        check_id(asset_id, "asset", field="input")
        if uploaded := self._uploaded.get(asset_id):
            return uploaded[0]
        blob = await self._blob(asset_id)
        if blob.size > LARGEST:
            return self._signed(asset_id, since)
        data = await self._blobs.get(blob.key, limit=LARGEST)
        try:
            return await self._upload_blob(asset_id, blob, data)
        except (NotFound, Invalid, Forbidden):  # this provider takes no uploads
            if len(data) <= INLINE:
                return f"data:{blob.content_type};base64,{base64.b64encode(data).decode()}"
            return self._signed(asset_id, since)

    async def _upload_blob(self, asset_id: str, blob: BlobInfo, data: bytes) -> str:
        uploaded = await self._upload(data, name=blob.key.rpartition("/")[2], content_type=blob.content_type)
        life = uploaded.expires_at - self._clock.now() if uploaded.expires_at else _UPLOAD_LIFE
        until = self._clock.monotonic() + (life - _SPARE).total_seconds()
        self._uploaded[asset_id] = (uploaded.address, until)
        return uploaded.address

    def _signed(self, asset_id: str, since: datetime) -> str:
        if not self._public_url or not self._signing_key:
            message = f"asset {asset_id} cannot reach the provider"
            why = "it takes no upload, and PUBLIC_URL is not set"
            raise Invalid.field("input", message, sentence=f"{message}: {why}")
        token = signing.sign(self._signing_key, f"asset:{asset_id}", since + self._life)
        return f"{self._public_url}/api/v3/assets/{asset_id}/data?token={token}"

    async def _blob(self, asset_id: str) -> BlobInfo:
        async for blob in self._blobs.list(f"assets/{asset_id}/original."):
            return await self._blobs.stat(blob.key)  # a listing has no content type
        raise NotFound(f"asset {asset_id} has no file in the store: it was deleted; choose another one")


def _replace(value: Any, addresses: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return addresses.get(value, value)
    if isinstance(value, Mapping):
        return {key: _replace(each, addresses) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(each, addresses) for each in value]
    return value
