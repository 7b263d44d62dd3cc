"""Reads from the index of a large film what its packets would tell, so that they need not be read."""

from __future__ import annotations

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

TRUSTED_FROM = 64 * 1024 * 1024
"""Bytes from which the index is used: reading all of a smaller file takes no time worth saving."""


def indexed_end(opened: InputContainer, stream: VideoStream | AudioStream) -> tuple[int, float] | None:
    """Packets of the stream and the second at which the last one ends; None: read them instead.

    A packet of ISO media tells what the index tells: where it lies, how long it is, when it is shown. None
    where anything is doubtful: another format, fragments, edits, packets beyond the end of the file, an
    end before the announced one.
    """
    if "mov" not in opened.format.name.split(",") or opened.size < TRUSTED_FROM or stream.time_base is None:
        return None
    entries = list(stream.index_entries)
    if len(entries) < 2 or len(entries) != stream.frames or not stream.duration:
        return None
    if any(not entry.size or entry.pos + entry.size > opened.size for entry in entries):
        return None
    is_video = isinstance(stream, VideoStream)
    if is_video and any(entry.is_discard for entry in entries):  # of sound the first are: the encoder's lead
        return None
    frame = entries[-1].timestamp - entries[-2].timestamp
    lasts = entries[-1].timestamp - entries[0].timestamp + frame
    if lasts < stream.duration - frame:
        return None
    # An index has decoding times: pictures shown in another order are shown as much later as the first one.
    begin = (stream.start_time or 0) if is_video else entries[0].timestamp
    return len(entries), float((begin + lasts) * stream.time_base)
