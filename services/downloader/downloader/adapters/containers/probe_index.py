"""Checks whether the index of ISO media vouches for every packet, so that a large film need not be read
twice."""

from __future__ import annotations

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

TRUSTED_FROM = 64 * 1024 * 1024
"""Bytes from which the index is used: reading all of a smaller file takes no time worth saving."""


def indexed_end(opened: InputContainer, stream: VideoStream | AudioStream) -> tuple[int, float] | None:
    """Packets of the stream and the second at which the last one ends; None: read them instead.

    Reading a packet of ISO media shows no more than its index does: where it lies, how long it is, and when
    it is shown. None for whatever leaves doubt: another container, fragments, edits, packets beyond the end
    of the file, an end before the announced one.
    """
    if "mov" not in opened.format.name.split(",") or opened.size < TRUSTED_FROM or stream.time_base is None:
        return None
    entries = list(stream.index_entries)
    if len(entries) < 2 or len(entries) != stream.frames or not stream.duration:
        return None
    if any(not entry.size or entry.pos + entry.size > opened.size for entry in entries):
        return None
    is_video = isinstance(stream, VideoStream)
    if is_video and any(
        entry.is_discard for entry in entries
    ):  # of sound the first ones are: the encoder's lead-in
        return None
    frame = entries[-1].timestamp - entries[-2].timestamp
    length = entries[-1].timestamp - entries[0].timestamp + frame
    if length < stream.duration - frame:
        return None
    # An index has decoding times. Pictures in another order are all shown as much later as the first one.
    begin = (stream.start_time or 0) if is_video else entries[0].timestamp
    return len(entries), float((begin + length) * stream.time_base)
