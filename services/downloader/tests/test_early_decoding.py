"""The start of a large film is decoded while its rest is still on its way, and never that of another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from downloader.adapters.containers import probe_streams, probe_worker
from downloader.adapters.containers.probe_streams import begins_well
from downloader.core.containers.domain import BY_EXTENSION, Container, Measured
from downloader.core.fetching import transfer
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed

MP4, WAV = BY_EXTENSION["mp4"], BY_EXTENSION["wav"]


class DecodesHere:
    """The decoders without a process of their own, so that their budget can be small; and what was asked."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.answers: list[bool] = []
        self.answered = asyncio.Event()

    async def probe(self, path: Path, container: Container, *, begun: bool = False) -> Measured:
        self.asked.append(begun)
        return await asyncio.to_thread(probe_worker.probe, path, container.extension, begun=begun)

    async def begins_well(self, path: Path, container: Container) -> bool:
        try:
            answer = await asyncio.to_thread(begins_well, path, container)
        except FetchFailed:
            answer = False
        self.answers.append(answer)
        self.answered.set()
        return answer


@pytest.fixture
def here(bench, monkeypatch) -> DecodesHere:
    """Films of some kilobytes are large, and a few pictures are their start."""
    monkeypatch.setattr(probe_streams, "BUDGET", 5 * 320 * 240)
    monkeypatch.setattr(transfer, "BLOCK", 8192)
    monkeypatch.setattr(transfer, "EARLY_FROM", 40_000)
    bench.fetcher._prober = DecodesHere()
    return bench.fetcher._prober


@pytest.fixture(scope="module")
def film(media) -> bytes:
    return media.video("mp4", seconds=4, sound=False, movflags="faststart", key_every=12)


def damaged_early(film: bytes, tmp_path: Path) -> bytes:
    """The same film with its first picture broken."""
    begin = film.index(b"mdat") + 60
    return film[:begin] + bytes(3000) + film[begin + 3000 :]


def most_of(film: bytes, here: DecodesHere, *, rest: bool):
    """Sends most of it, waits until the start was looked at, and sends the rest, or breaks off."""

    async def script(asked, reply) -> None:
        await reply.head(200, Content_Length=len(film), ETag='"v1"')
        await reply.send(film[: len(film) * 3 // 4])
        await here.answered.wait()
        if rest:
            await reply.send(film[len(film) * 3 // 4 :])

    return script


async def test_the_start_is_decoded_while_the_rest_arrives(bench, origin, here, film) -> None:
    assert len(film) > 80_000
    await bench.stores(bench.wanted(origin.does(most_of(film, here, rest=True))), film)
    assert (here.answers, here.asked) == ([True], [True])


async def test_what_was_decoded_of_one_content_says_nothing_of_another(
    bench, origin, here, film, tmp_path
) -> None:
    """The content changes after its start was found good: the new one's start is looked at anew."""
    changed = damaged_early(film, tmp_path)
    url = origin.in_turn(most_of(film, here, rest=False), origin.whole_of(changed, ETag='"v2"'))
    failure = await bench.refused(bench.wanted(url))
    assert failure.code is Code.UNDECODABLE
    assert here.answers[0] is True
    assert True not in here.asked


async def test_an_early_look_that_finds_damage_leaves_the_word_to_the_whole(
    bench, origin, here, film, tmp_path
) -> None:
    failure = await bench.refused(bench.wanted(origin.serve(damaged_early(film, tmp_path))))
    assert failure.code is Code.UNDECODABLE
    assert False in here.answers
    assert set(here.asked) == {False}


def test_a_film_that_has_begun_is_not_decoded_from_its_start_again(film, tmp_path, monkeypatch) -> None:
    """It measures the same, its end is still decoded, and only of a whole one all packets are there."""
    monkeypatch.setattr(probe_streams, "BUDGET", 5 * 320 * 240)
    monkeypatch.setattr(probe_streams, "KEY_BUDGET", 5 * 320 * 240)
    path = tmp_path / "f"
    path.write_bytes(film[: len(film) * 3 // 4])
    assert begins_well(path, MP4)
    with pytest.raises(FetchFailed) as caught:
        probe_worker.probe(path, "mp4", begun=True)
    assert caught.value.code is Code.TRUNCATED
    path.write_bytes(film)
    whole = probe_worker.probe(path, "mp4")
    path.write_bytes(damaged_early(film, tmp_path))
    assert probe_worker.probe(path, "mp4", begun=True) == whole
    path.write_bytes(film[:-4000] + bytes(4000))
    with pytest.raises(FetchFailed) as caught:
        probe_worker.probe(path, "mp4", begun=True)
    assert caught.value.code is Code.UNDECODABLE


def test_an_index_at_the_end_leaves_the_start_for_later(media, tmp_path) -> None:
    (tmp_path / "f").write_bytes(media["mp4"][: len(media["mp4"]) // 2])
    with pytest.raises(FetchFailed):
        begins_well(tmp_path / "f", MP4)


async def test_the_pool_tells_a_start_only_when_a_decoder_is_idle(prober, tmp_path) -> None:
    sound = wav(seconds=12)
    (tmp_path / "enough").write_bytes(sound[: len(sound) * 9 // 10])
    (tmp_path / "short").write_bytes(sound[: len(sound) // 3])
    (tmp_path / "none").write_bytes(b"RIFF")
    assert await prober.begins_well(tmp_path / "enough", WAV)
    assert not await prober.begins_well(tmp_path / "short", WAV)
    assert not await prober.begins_well(tmp_path / "none", WAV)
    taken = prober._idle.get_nowait()
    assert not await prober.begins_well(tmp_path / "enough", WAV)
    prober._idle.put_nowait(taken)


def wav(*, seconds: int) -> bytes:
    """Silence, 8000 samples a second."""
    data = bytes(seconds * 8000 * 2)
    head = b"fmt " + (16).to_bytes(4, "little") + bytes.fromhex("01000100401f0000803e000002001000")
    body = b"WAVE" + head + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body
