"""The start of a large film is decoded while the rest arrives, and counts for this very film alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from checked_file import checked_file, checked_start

from downloader.core.fetching import transfer
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from mediakit import streams
from mediakit.facts import Facts
from mediakit.formats import BY_EXTENSION, Format

MP4, WAV = BY_EXTENSION["mp4"], BY_EXTENSION["wav"]


class DecoderInProcess:
    """A `Prober` without processes of its own, so that its budget can be small. It records its calls."""

    def __init__(self) -> None:
        self.start_decoded: list[bool] = []
        self.answers: list[bool] = []
        self.answered = asyncio.Event()

    async def probe(self, path: Path, container: Format, *, start_decoded: bool = False) -> Facts:
        self.start_decoded.append(start_decoded)
        return await asyncio.to_thread(checked_file, path, container, start_decoded=start_decoded)

    async def start_decodes(self, path: Path, container: Format) -> bool:
        try:
            answer = await asyncio.to_thread(checked_start, path, container)
        except FetchError:
            answer = False
        self.answers.append(answer)
        self.answered.set()
        return answer


@pytest.fixture
def decoder(harness, monkeypatch) -> DecoderInProcess:
    """Films of some kilobytes are large, and a few pictures are their start."""
    monkeypatch.setattr(streams, "START_PIXELS", 5 * 320 * 240)
    monkeypatch.setattr(transfer, "BLOCK", 8192)
    monkeypatch.setattr(transfer, "EARLY_DECODE_FROM", 40_000)
    harness.fetcher.prober = DecoderInProcess()
    return harness.fetcher.prober


@pytest.fixture(scope="module")
def film(media) -> bytes:
    return media.video("mp4", seconds=4, sound=False, movflags="faststart", key_every=12)


def damaged_early(film: bytes, tmp_path: Path) -> bytes:
    """The same film with its first picture broken."""
    begin = film.index(b"mdat") + 60
    return film[:begin] + bytes(3000) + film[begin + 3000 :]


def most_of(film: bytes, decoder: DecoderInProcess, *, rest: bool):
    """Sends most of it, waits until the start was decoded, and sends the rest, or breaks off."""

    async def script(request, reply) -> None:
        await reply.head(200, Content_Length=len(film), ETag='"v1"')
        await reply.send(film[: len(film) * 3 // 4])
        await decoder.answered.wait()
        if rest:
            await reply.send(film[len(film) * 3 // 4 :])

    return script


async def test_the_start_is_decoded_while_the_rest_arrives(harness, origin, decoder, film) -> None:
    assert len(film) > 80_000
    await harness.expect_stored(harness.request(origin.answer_with(most_of(film, decoder, rest=True))), film)
    assert (decoder.answers, decoder.start_decoded) == ([True], [True])


async def test_what_was_decoded_of_one_content_does_not_count_for_another(
    harness, origin, decoder, film, tmp_path
) -> None:
    """The content changes after its start was found good: the new one's start is decoded anew."""
    changed = damaged_early(film, tmp_path)
    url = origin.answer_in_turn(most_of(film, decoder, rest=False), origin.whole_of(changed, ETag='"v2"'))
    error = await harness.refusal_of(url)
    assert error.code is ErrorCode.UNDECODABLE
    assert decoder.answers[0] is True
    assert True not in decoder.start_decoded


async def test_early_damage_is_confirmed_by_decoding_the_whole(
    harness, origin, decoder, film, tmp_path
) -> None:
    error = await harness.refusal_of(origin.serve(damaged_early(film, tmp_path)))
    assert error.code is ErrorCode.UNDECODABLE
    assert False in decoder.answers
    assert set(decoder.start_decoded) == {False}


def test_a_start_that_was_decoded_is_not_decoded_again(film, tmp_path, monkeypatch) -> None:
    """It measures the same, its end is still decoded, and only of a whole one all packets are there."""
    monkeypatch.setattr(streams, "START_PIXELS", 5 * 320 * 240)
    monkeypatch.setattr(streams, "KEY_FRAME_PIXELS", 5 * 320 * 240)
    path = tmp_path / "f"
    path.write_bytes(film[: len(film) * 3 // 4])
    assert checked_start(path, MP4)
    with pytest.raises(FetchError) as caught:
        checked_file(path, MP4, start_decoded=True)
    assert caught.value.code is ErrorCode.TRUNCATED
    path.write_bytes(film)
    whole = checked_file(path, MP4)
    path.write_bytes(damaged_early(film, tmp_path))
    assert checked_file(path, MP4, start_decoded=True) == whole
    path.write_bytes(film[:-4000] + bytes(4000))
    with pytest.raises(FetchError) as caught:
        checked_file(path, MP4, start_decoded=True)
    assert caught.value.code is ErrorCode.UNDECODABLE


def test_an_index_at_the_end_leaves_the_start_for_later(media, tmp_path) -> None:
    (tmp_path / "f").write_bytes(media["mp4"][: len(media["mp4"]) // 2])
    with pytest.raises(FetchError):
        checked_start(tmp_path / "f", MP4)


async def test_the_pool_decodes_a_start_only_when_a_process_is_idle(prober, tmp_path) -> None:
    sound = wav(seconds=12)
    (tmp_path / "enough").write_bytes(sound[: len(sound) * 9 // 10])
    (tmp_path / "short").write_bytes(sound[: len(sound) // 3])
    (tmp_path / "none").write_bytes(b"RIFF")
    assert await prober.start_decodes(tmp_path / "enough", WAV)
    assert not await prober.start_decodes(tmp_path / "short", WAV)
    assert not await prober.start_decodes(tmp_path / "none", WAV)
    taken = prober._idle.get_nowait()
    assert not await prober.start_decodes(tmp_path / "enough", WAV)
    prober._idle.put_nowait(taken)


def wav(*, seconds: int) -> bytes:
    """Silence, 8000 samples a second."""
    data = bytes(seconds * 8000 * 2)
    head = b"fmt " + (16).to_bytes(4, "little") + bytes.fromhex("01000100401f0000803e000002001000")
    body = b"WAVE" + head + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body
