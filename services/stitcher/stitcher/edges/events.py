"""Translates events into use cases: `stitch.requested` into a cut, new files into thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from mediakit.formats import Kind
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid, NotFound
from servicekit.events import ConsumerSpec, Event, Handler
from servicekit.grpc.rules import check
from stitcher.core.cuts.make_cut import CutRequest, MakeCut
from stitcher.core.cuts.ports import CutFailed, CutPublisher
from stitcher.core.thumbnails.make_thumbnail import MakeThumbnail
from stitcher.edges.edit_message import read_edit

MAX_DELIVERIES_WITHOUT_CLIP = 3
"""The delivery in which a clip that is still missing fails the cut: an event can be faster than the store."""

_MEDIA_KINDS: Mapping[int, Kind] = {
    media_pb2.MEDIA_KIND_VIDEO: Kind.VIDEO,
    media_pb2.MEDIA_KIND_IMAGE: Kind.IMAGE,
    media_pb2.MEDIA_KIND_AUDIO: Kind.AUDIO,
}

PublisherFor = Callable[[events_pb2.StitchRequested, int], CutPublisher]


def cuts_consumer(cuts_at_once: int) -> ConsumerSpec:
    """The durable for cuts: at most four are made at a time over all replicas."""
    return ConsumerSpec(
        name="stitcher-cuts", subjects=("stitch.requested.>",), slots=cuts_at_once, max_in_flight=4
    )


def thumbnails_consumer() -> ConsumerSpec:
    return ConsumerSpec(name="stitcher-thumbnails", subjects=("asset.created.>", "media.stored.>"), slots=2)


class CutEvents:
    """Makes the requested cuts; each ends with `stitch.completed` or `stitch.failed`.

    Args:
        publisher_for: makes the publisher for one delivery (by number) of a request.
    """

    def __init__(self, make_cut: MakeCut, publisher_for: PublisherFor) -> None:
        self._make_cut = make_cut
        self._publisher_for = publisher_for

    def handlers(self) -> dict[str, Handler]:
        return {"stitch.requested": self.requested}

    async def requested(self, event: Event) -> None:
        request: events_pb2.StitchRequested = event.message(events_pb2.StitchRequested)
        publisher = self._publisher_for(request, event.deliveries)
        try:
            cut = await self._make_cut.run(_cut_request(request), publisher.progress)
        except CutFailed as error:
            await publisher.failed(error.code, error.message, retryable=True)
        except Invalid as error:
            await publisher.failed("invalid", error.message, retryable=False)
        except NotFound as error:
            if event.deliveries < MAX_DELIVERIES_WITHOUT_CLIP:
                raise
            await publisher.failed("not_found", error.message, retryable=True)
        else:
            await publisher.completed(cut)


class ThumbnailEvents:
    """Handles new assets and media: each gets its thumbnail."""

    def __init__(self, make_thumbnail: MakeThumbnail) -> None:
        self._make_thumbnail = make_thumbnail
        self._log = structlog.get_logger(__name__)

    def handlers(self) -> dict[str, Handler]:
        return {"asset.created": self.asset_created, "media.stored": self.media_stored}

    async def asset_created(self, event: Event) -> None:
        asset: events_pb2.AssetCreated = event.message(events_pb2.AssetCreated)
        await self._make(event, asset.blob_key, asset.thumbnail_key, asset.kind)

    async def media_stored(self, event: Event) -> None:
        media: events_pb2.MediaStored = event.message(events_pb2.MediaStored)
        await self._make(event, media.blob_key, media.thumbnail_key, media.kind)

    async def _make(self, event: Event, blob_key: str, thumbnail_key: str, kind: int) -> None:
        """A file that is not there was deleted before its event was handled: then it gets no thumbnail."""
        if not thumbnail_key:
            return
        try:
            await self._make_thumbnail.run(
                blob_key,
                thumbnail_key,
                kind=_MEDIA_KINDS.get(kind),
                surely_missing=event.deliveries == 1,
            )
        except NotFound:
            self._log.info("no thumbnail: the file is gone", blob=blob_key, event_id=event.id)


def _cut_request(request: events_pb2.StitchRequested) -> CutRequest:
    check(request)
    return CutRequest(
        read_edit(request.edit), dict(request.blob_keys), request.cut_key, request.thumbnail_key
    )
