"""What is whole passes, what is cut or damaged does not, for each container; and decoders that die."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from pathlib import Path

import av
import pytest
from checked_file import checked_file
from PIL import Image

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from mediakit import index, streams
from mediakit.formats import BY_EXTENSION, Kind
from servicekit.errors import Unavailable
from servicekit.testing import eventually

VIDEO = ("mp4", "mov", "webm", "avi")
SOUND = ("mp3", "wav", "flac", "ogg", "m4a")
PICTURES = ("png", "jpg", "gif", "webp")


def probe(path: Path, data: bytes, extension: str):
    """In this process: what the worker does with a request."""
    path.write_bytes(data)
    return checked_file(path, BY_EXTENSION[extension])


async def probe_in_worker(prober, path: Path, data: bytes, extension: str):
    """Through a worker."""
    path.write_bytes(data)
    return await prober.probe(path, BY_EXTENSION[extension])


@pytest.mark.parametrize("extension", VIDEO + SOUND + PICTURES)
def test_every_container_is_measured(media, tmp_path, extension) -> None:
    found = probe(tmp_path / "f", media[extension], extension)
    if extension in VIDEO:
        assert (found.kind, found.width, found.height) == (Kind.VIDEO, 320, 240)
        assert found.fps == pytest.approx(24, abs=0.1)
        assert len(found.codecs) == 2
    elif extension in SOUND:
        assert (found.kind, found.width, found.fps, len(found.codecs)) == (Kind.AUDIO, 0, 0.0, 1)
    else:
        assert (found.kind, found.width, found.height) == (Kind.IMAGE, 320, 200)
    if extension not in PICTURES:
        assert found.duration_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("extension", [*VIDEO, "wav", "flac", "m4a", *PICTURES])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_missing_tail_is_found(media, tmp_path, extension, share) -> None:
    data = media[extension]
    with pytest.raises(FetchError) as caught:
        probe(tmp_path / "f", data[: int(len(data) * share)], extension)
    assert caught.value.code in (ErrorCode.TRUNCATED, ErrorCode.UNDECODABLE)


def test_a_missing_tail_is_found_with_the_index_in_front(media, tmp_path) -> None:
    data = media.video("mp4", movflags="faststart")
    assert data.index(b"moov") < data.index(b"mdat")
    for share in (0.3, 0.6, 0.9, 0.98):
        with pytest.raises(FetchError) as caught:
            probe(tmp_path / "f", data[: int(len(data) * share)], "mp4")
        assert caught.value.code in (ErrorCode.TRUNCATED, ErrorCode.UNDECODABLE)
    probe(tmp_path / "f", data, "mp4")


@pytest.mark.parametrize("extension", ["mp4", "mov", "webm", "png", "flac"])
def test_damage_in_the_middle_is_found(media, tmp_path, extension) -> None:
    data = bytearray(media[extension])
    middle = len(data) // 3
    data[middle : middle + 4000] = bytes((n * 7919) % 256 for n in range(4000))
    with pytest.raises(FetchError) as caught:
        probe(tmp_path / "f", bytes(data), extension)
    assert caught.value.code in (ErrorCode.TRUNCATED, ErrorCode.UNDECODABLE)


def test_a_long_film_is_decoded_at_both_ends(media, tmp_path, monkeypatch) -> None:
    """More pixels than the budget: the start and the end are decoded, not the middle."""
    decoded = []
    really = streams._decode

    def counting(track, packet) -> None:
        decoded.append(packet.pts)
        really(track, packet)

    monkeypatch.setattr(streams, "START_PIXELS", 5 * 320 * 240)
    monkeypatch.setattr(streams, "_decode", counting)
    data = media.video("mp4", seconds=6, sound=False, movflags="faststart", key_every=24)
    found = probe(tmp_path / "f", data, "mp4")
    assert found.duration_s == pytest.approx(6, abs=0.1)
    stamps = [stamp for stamp in decoded if stamp is not None]
    assert len(stamps) < 6 * 24 - 48
    cut = bytearray(data)
    cut[-3000:] = bytes(3000)
    with pytest.raises(FetchError):
        probe(tmp_path / "f", bytes(cut), "mp4")


def test_a_damaged_key_frame_in_the_middle_of_a_long_film_is_found(media, tmp_path, monkeypatch) -> None:
    """After the first pictures each key frame is decoded, and only those."""
    monkeypatch.setattr(streams, "START_PIXELS", 5 * 320 * 240)
    data = media.video("mp4", seconds=6, sound=False, movflags="faststart", key_every=24)
    (tmp_path / "f").write_bytes(data)
    with av.open(str(tmp_path / "f")) as opened:
        third = [entry for entry in opened.streams.video[0].index_entries if entry.is_keyframe][2]
        at, size = third.pos, third.size  # an entry lives as long as its container is open
    cut = bytearray(data)
    cut[at + size // 2 : at + size] = bytes(size - size // 2)
    with pytest.raises(FetchError) as caught:
        probe(tmp_path / "f", bytes(cut), "mp4")
    assert caught.value.code is ErrorCode.UNDECODABLE


@pytest.mark.parametrize("movflags", ["faststart", "disable_chpl", "frag_keyframe+empty_moov"])
def test_the_index_of_a_large_film_is_believed_only_where_the_packets_lie(
    media, tmp_path, monkeypatch, movflags
) -> None:
    """It measures the same as by reading all; fragments are read, and so is what reaches beyond the end."""
    monkeypatch.setattr(streams, "START_PIXELS", 5 * 320 * 240)
    monkeypatch.setattr(streams, "SOUND_S", 0.5)
    data = media.video("mp4", seconds=6, movflags=movflags, key_every=24)
    read, seen = probe(tmp_path / "f", data, "mp4"), []
    really = streams._count_packet
    monkeypatch.setattr(
        streams, "_count_packet", lambda *packet, **how: (seen.append(packet), really(*packet, **how))
    )
    monkeypatch.setattr(index, "TRUSTED_FROM", 0)
    assert probe(tmp_path / "f", data, "mp4") == read
    assert (len(seen) < 6 * 24) is not movflags.startswith("frag")
    if movflags == "faststart":
        (tmp_path / "f").write_bytes(data[: int(len(data) * 0.9)])
        with pytest.raises(FetchError) as caught:
            checked_file(tmp_path / "f", BY_EXTENSION["mp4"])
        assert caught.value.code is ErrorCode.TRUNCATED


def test_a_disguise_opens_no_other_file(tmp_path) -> None:
    """A playlist that starts like WebM, or a file of another kind, is not what its first bytes say."""
    for extension in ("mp4", "webm", "avi", "mp3", "png"):
        with pytest.raises(FetchError):
            probe(tmp_path / "f", b"#EXTM3U\nfile:///etc/passwd\n" * 100, extension)


def test_a_decompression_bomb_is_refused(tmp_path) -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    with pytest.raises(FetchError) as caught:
        probe(tmp_path / "f", out.getvalue(), "png")
    assert caught.value.code is ErrorCode.TOO_BIG


async def test_a_decoder_that_dies_takes_nothing_else_down(prober, media, tmp_path, monkeypatch) -> None:
    await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    really = prober._exchange

    async def and_crash(process, request):
        os.kill(process.pid, signal.SIGSEGV)
        return await really(process, request)

    monkeypatch.setattr(prober, "_exchange", and_crash)
    with pytest.raises(FetchError) as caught:
        await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    assert caught.value.code is ErrorCode.UNDECODABLE
    monkeypatch.undo()
    assert (await probe_in_worker(prober, tmp_path / "f", media["png"], "png")).kind is Kind.IMAGE


def killed(prober, monkeypatch, *, times: int) -> list[int]:
    """The next processes are killed with a file in their hands; the ids of all that get one."""
    really, seen = prober._exchange, []

    async def exchange(process, request):
        seen.append(process.pid)
        if len(seen) <= times:
            os.kill(process.pid, signal.SIGKILL)
        return await really(process, request)

    monkeypatch.setattr(prober, "_exchange", exchange)
    return seen


async def test_a_decoder_killed_from_outside_is_no_fault_of_the_file(
    prober, media, tmp_path, monkeypatch
) -> None:
    """By the kernel for want of memory, or by hand: a fresh one decides."""
    seen = killed(prober, monkeypatch, times=1)
    assert (await probe_in_worker(prober, tmp_path / "f", media["png"], "png")).kind is Kind.IMAGE
    assert len(set(seen)) == 2
    monkeypatch.undo()
    killed(prober, monkeypatch, times=2)
    with pytest.raises(Unavailable, match="killed"):
        await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    monkeypatch.undo()
    assert (await probe_in_worker(prober, tmp_path / "f", media["png"], "png")).kind is Kind.IMAGE


async def test_a_decoder_killed_while_it_loads_or_is_idle_is_replaced(prober, media, tmp_path) -> None:
    await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    (process,) = prober._all
    process.kill()  # nobody has noticed yet when the next file comes
    assert (await probe_in_worker(prober, tmp_path / "f", media["png"], "png")).kind is Kind.IMAGE
    await prober._kill(prober._idle.get_nowait())
    loading = await prober._spawn()
    prober._idle.put_nowait(loading)
    loading.kill()
    assert (await probe_in_worker(prober, tmp_path / "f", media["png"], "png")).kind is Kind.IMAGE


async def test_a_pool_that_stops_waits_for_no_other_decoder(prober, media, tmp_path, monkeypatch) -> None:
    await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    really = prober._exchange

    async def exchange(process, request):
        await prober.stop()
        return await really(process, request)

    monkeypatch.setattr(prober, "_exchange", exchange)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await probe_in_worker(prober, tmp_path / "f", media["png"], "png")


async def test_a_decoder_that_hangs_is_stopped(prober, media, tmp_path, monkeypatch) -> None:
    await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    (process,) = prober._all
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(prober, "_timeout_s", 0.2)
    with pytest.raises(FetchError) as caught:
        await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    assert "not done within 0.2 seconds" in caught.value.message
    assert process.returncode == -signal.SIGKILL


async def test_a_decoder_knows_no_secret(prober, media, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BLOB_SECRET_KEY", "hush")
    await probe_in_worker(prober, tmp_path / "f", media["png"], "png")
    (process,) = prober._all
    assert b"hush" not in Path(f"/proc/{process.pid}/environ").read_bytes()


async def test_a_decoder_gives_its_memory_back(prober, media, tmp_path) -> None:
    """The system has what decoding a large film took before the next file comes."""
    await probe_in_worker(prober, tmp_path / "small", media["mp4"], "mp4")
    (process,) = prober._all
    before = resident(process.pid)
    large = media.video("mp4", seconds=0.5, size=(1920, 1080), sound=False)
    await probe_in_worker(prober, tmp_path / "large", large, "mp4")
    await eventually(lambda: resident(process.pid) - before < 6e6, within=5)


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
