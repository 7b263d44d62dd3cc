"""The composition root: settings become adapters, use cases, edges, and the order in which they start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from events.topology import streams
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.config import load
from servicekit.events import Consumer, EventLog
from servicekit.grpc.server import GrpcServer
from servicekit.process.lifecycle import Part
from stitcher.adapters.event_publisher import CutEventPublisher
from stitcher.adapters.ffmpeg import FFmpegBinary
from stitcher.adapters.probe import AvProber
from stitcher.adapters.thumbnails import PillowThumbnailRenderer
from stitcher.adapters.workspace import WorkFolders
from stitcher.config import Settings
from stitcher.core.cuts.domain.ffmpeg_plan import Encoder
from stitcher.core.cuts.make_cut import MakeCut
from stitcher.core.thumbnails.make_thumbnail import MakeThumbnail
from stitcher.edges.events import CutEvents, ThumbnailEvents, cuts_consumer, thumbnails_consumer
from stitcher.edges.grpc import StitcherServicer


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The stitcher's parts, in the order of their start."""
    settings = load(Settings, environ)
    clock = SystemClock()
    blobs = BlobStore.of(settings)
    log = EventLog(
        settings.nats_url,
        service="stitcher",
        clock=clock,
        streams=streams(),
        replicas=settings.event_log_replicas,
    )
    workspace = WorkFolders(settings.work_dir)
    prober, thumbnails = AvProber(), PillowThumbnailRenderer()
    make_cut = MakeCut(
        blobs=blobs,
        ffmpeg=FFmpegBinary(settings.ffmpeg),
        prober=prober,
        thumbnails=thumbnails,
        workspace=workspace,
        encoder=Encoder(settings.preset, settings.crf),
    )
    make_thumbnail = MakeThumbnail(blobs=blobs, renderer=thumbnails, prober=prober, workspace=workspace)
    cut_events = CutEvents(make_cut, partial(CutEventPublisher, log, clock))
    cut_consumer = Consumer(log, cuts_consumer(settings.cuts_at_once), cut_events.handlers())
    thumbnail_events = ThumbnailEvents(make_thumbnail)
    thumbnail_consumer = Consumer(log, thumbnails_consumer(), thumbnail_events.handlers())
    servicer = StitcherServicer(make_thumbnail)
    server = GrpcServer(settings.grpc_listen, [servicer], clock=clock, service="stitcher")
    return [workspace, blobs, log, cut_consumer, thumbnail_consumer, server]
