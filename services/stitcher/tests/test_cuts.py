"""Real cuts by real FFmpeg: of the right length, each clip in its place, audible, playable, made once."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from cut_harness import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    CutHarness,
    centres,
    ffmpeg,
    frames,
    is_color,
    packets,
    rms,
    sound,
)

from mediakit.structure import is_faststart
from servicekit.errors import Invalid, NotFound
from stitcher.adapters.ffmpeg import FFmpegBinary, Progress
from stitcher.adapters.probe import AvProber
from stitcher.adapters.thumbnails import PillowThumbnailRenderer
from stitcher.adapters.workspace import WorkFolders
from stitcher.core.cuts.domain.edit import Loudness
from stitcher.core.cuts.domain.ffmpeg_plan import Command, Encoder
from stitcher.core.cuts.domain.transitions import Transition
from stitcher.core.cuts.make_cut import MakeCut
from stitcher.core.cuts.ports import CutFailed, MadeCut
from stitcher.core.media.ports import Unreadable

CROSSFADE = Transition("crossfade", 0.25)


async def test_clips_of_every_kind_become_one_even_cut(
    harness: CutHarness, clip: Callable[..., Path], music: Path
) -> None:
    clips = [
        clip(color="red", size="320x180", rate="24"),
        clip(color="lime", size="640x360", rate="30000/1001", tone=440),
        clip(color="blue", size="180x320", rate="60"),  # portrait
        clip(color="white", size="240x180", rate="10", sar="4/3", tone=880),
    ]
    made, path = await harness.cut(await harness.request(clips, music=music, gain=-6))

    pixels = centres(path)
    assert len(pixels) == 96
    for index, color in enumerate((RED, GREEN, BLUE, WHITE)):
        assert all(is_color(pixel, color) for pixel in pixels[24 * index : 24 * index + 24]), color
    video = made.facts.video
    assert video is not None
    assert (video.codec, video.pixel_format, video.width, video.height) == ("h264", "yuv420p", 320, 180)
    assert (video.sar, video.rate, video.constant_rate, video.matrix) == (1, 24, True, "bt709")
    assert made.facts.duration == pytest.approx(4.0, abs=0.05)
    assert is_faststart(path)
    samples = sound(path)
    assert all(rms(samples, at, at + 0.4) > 0.02 for at in (0.2, 1.2, 2.2))
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.color_primaries == stream.codec_context.color_trc == 1


@pytest.mark.parametrize(
    ("fit", "edge"),
    [("auto", (80, 200)), ("blur", (80, 200)), ("bars", (0, 10)), ("crop", (245, 255))],
)
async def test_a_portrait_clip_fills_the_frame_as_its_fit_requires(
    harness: CutHarness, clip: Callable[..., Path], fit: str, edge: tuple[int, int]
) -> None:
    request = await harness.request([clip(color="white", size="180x320")], fit=fit)
    _, path = await harness.cut(request)
    row = frames(path)[0][90].mean(axis=1)
    assert row[160] > 240
    assert edge[0] <= row[20] <= edge[1]  # blurred and darker, black, or the clip itself
    assert edge[0] <= row[300] <= edge[1]


async def test_cross_fades_overlap_frame_by_frame(harness: CutHarness, clip: Callable[..., Path]) -> None:
    clips = [clip(color="red"), clip(color="lime", tone=440), clip(color="blue")]
    made, path = await harness.cut(await harness.request(clips, joints=[CROSSFADE, CROSSFADE]))
    pixels = centres(path)
    assert len(pixels) == 72 - 2 * 6
    assert made.facts.duration == pytest.approx(2.5, abs=0.05)
    assert all(is_color(pixel, RED) for pixel in pixels[:18])
    mixed = pixels[21]
    assert 60 < mixed[0] < 200
    assert 60 < mixed[1] < 200
    assert all(is_color(pixel, GREEN) for pixel in pixels[24:36])
    assert all(is_color(pixel, BLUE) for pixel in pixels[43:])
    samples = sound(path)
    assert rms(samples, 1.05, 1.45) > 10 * rms(samples, 0.0, 0.6)


async def test_each_joint_has_its_own_transition(harness: CutHarness, clip: Callable[..., Path]) -> None:
    """Red from frame 0, blue 24, blue to lime 42, lime 48, white 66, white to red 86, red 90 to 109."""
    colors = ("red", "blue", "lime", "white", "red")
    clips = [
        clip(color=color, tone=tone) for color, tone in zip(colors, (None, None, None, 440, 440), strict=True)
    ]
    joints = [Transition(), CROSSFADE, Transition(), Transition("crossfade", 1 / 6)]
    made, path = await harness.cut(await harness.request(clips, joints=joints))
    pixels = centres(path)
    assert len(pixels) == 5 * 24 - 6 - 4
    assert made.facts.duration == pytest.approx(110 / 24, abs=0.05)
    parts = ((0, 24, RED), (24, 42, BLUE), (48, 66, GREEN), (66, 86, WHITE), (90, 110, RED))
    for begin, end, color in parts:
        assert all(is_color(pixel, color) for pixel in pixels[begin:end]), (begin, color)
    assert not is_color(pixels[45], BLUE)
    assert not is_color(pixels[45], GREEN)
    samples = sound(path)
    assert rms(samples, 2.8, 4.5) > 0.05
    assert rms(samples, 0, 2.7) < 0.001


async def test_a_clip_is_used_from_its_in_point_on(harness: CutHarness, clip: Callable[..., Path]) -> None:
    """The first half of the clip is black and loud, the second white and soft."""
    late = "drawbox=t=fill:c=black:enable='lt(t,1)'"
    two_halves = clip(
        color="white", seconds=2, tone=440, filters=late, extra=("-af", "volume=0.02:enable='gt(t,1)'")
    )
    request = await harness.request([two_halves, two_halves], begin=1.0)
    _, path = await harness.cut(request)
    assert "libx264" in harness.ffmpeg.joins[0].arguments
    assert all(is_color(pixel, WHITE) for pixel in centres(path))
    assert len(centres(path)) == 48
    samples = sound(path)
    assert rms(samples, 0.2, 0.8) == pytest.approx(rms(samples, 1.2, 1.8), rel=0.05)


async def test_an_in_point_behind_the_end_of_a_clip_fails_the_cut(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    with pytest.raises(
        CutFailed, match=r"clip 1 lasts 0\.50 s of the 1\.00 s used of it after the first 0\.5 s"
    ):
        await harness.cut(await harness.request([clip(color="red")], begin=0.5))


async def test_ntsc_rates_are_exact(harness: CutHarness, clip: Callable[..., Path]) -> None:
    made, path = await harness.cut(await harness.request([clip(color="red"), clip(color="blue")], fps=29.97))
    assert len(centres(path)) == 60
    assert made.facts.video is not None
    assert made.facts.video.rate == Fraction(30000, 1001)
    assert made.facts.video.constant_rate


async def test_clips_that_agree_are_copied_packet_by_packet(
    harness: CutHarness, clip: Callable[..., Path], music: Path
) -> None:
    clips = [clip(pattern=True, extra=("-bf", "2")), clip(color="lime", tone=440, extra=("-bf", "2"))]
    made, path = await harness.cut(await harness.request(clips, music=music))
    assert packets(path) == packets(clips[0]) + packets(clips[1])
    assert made.facts.video is not None
    assert (made.facts.video.frames, made.facts.video.constant_rate) == (48, True)
    assert rms(sound(path), 0.1, 0.4) > 0.02


@pytest.mark.parametrize(
    "change", [{"rate": "25"}, {"size": "322x180"}, {"sar": "4/3"}, {"seconds": 1.5}, {"size": "338x200"}]
)
async def test_one_clip_that_differs_is_reason_to_encode(
    harness: CutHarness, clip: Callable[..., Path], change: dict[str, object]
) -> None:
    clips = [clip(pattern=True), clip(**{"color": "lime", **change})]
    made, _ = await harness.cut(await harness.request(clips))
    assert "libx264" in harness.ffmpeg.joins[0].arguments
    assert made.facts.video is not None
    assert made.facts.video.frames == 48


async def test_music_is_looped_and_fades_out_at_the_end(
    harness: CutHarness, clip: Callable[..., Path], music: Path
) -> None:
    _, path = await harness.cut(await harness.request([clip(color="red", seconds=5)], seconds=5, music=music))
    samples = sound(path)
    full = rms(samples, 1.0, 3.4)
    assert full > 0.05
    assert rms(samples, 2.1, 3.4) == pytest.approx(
        rms(samples, 0.2, 1.9), rel=0.2
    )  # the second turn is there
    assert rms(samples, 4.2, 4.3) == pytest.approx(full / 2, rel=0.25)  # half-way down
    assert rms(samples, 4.9, 5.0) < full / 10


async def test_music_fades_as_the_edit_requires(
    harness: CutHarness, clip: Callable[..., Path], music: Path
) -> None:
    request = await harness.request([clip(color="red", seconds=4)], seconds=4, music=music, fades=(1.0, 0.0))
    _, path = await harness.cut(request)
    samples = sound(path)
    full = rms(samples, 1.1, 3.9)
    assert rms(samples, 0.45, 0.55) == pytest.approx(full / 2, rel=0.25)
    assert rms(samples, 3.9, 3.98) == pytest.approx(full, rel=0.25)


@pytest.mark.parametrize(("lufs", "peak"), [(-16.0, -1.5), (-23.0, -10.0)])
async def test_a_cut_has_the_loudness_of_its_edit_and_true_peaks_below_its_limit(
    harness: CutHarness, clip: Callable[..., Path], tmp_path: Path, lufs: float, peak: float
) -> None:
    """Bursts at a quarter of the sample rate and 45 degrees: their true peaks are 3 dB above any sample."""
    tones = tmp_path / "tones.wav"
    source = "aevalsrc='0.6*lt(mod(t,1),0.005)*sin(2*PI*12000*t+PI/4)+0.1*sin(2*PI*440*t)':d=4:s=48000"
    ffmpeg("-f", "lavfi", "-i", source, str(tones))
    request = await harness.request(
        [clip(color="red", seconds=4)], seconds=4, music=tones, fades=(0, 0), loudness=Loudness(lufs, peak)
    )
    _, path = await harness.cut(request)
    log = ffmpeg("-i", str(path), "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-")
    summary = dict(re.findall(r"^\s+(I|Peak):\s+(-?[\d.]+) ", log, re.MULTILINE))
    assert float(summary["I"]) == pytest.approx(lufs, abs=1.0)
    assert peak - 1 <= float(summary["Peak"]) <= peak + 1  # AAC moves peaks a little


async def test_music_lies_under_the_clips_own_sound(
    harness: CutHarness, clip: Callable[..., Path], music: Path
) -> None:
    clips = [clip(color="red", seconds=3, tone=1000)]
    _, path = await harness.cut(await harness.request(clips, seconds=3, music=music, gain=-12))
    samples = sound(path)[48000:67200]
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    own, bed = power[395:405].sum(), power[128:136].sum() + power[194:202].sum()
    assert 10 * np.log10(bed / own) == pytest.approx(-12, abs=2.5)
    assert np.abs(samples).max() < 0.95


async def test_peaks_stay_below_full_scale(
    harness: CutHarness, clip: Callable[..., Path], tmp_path: Path
) -> None:
    clicks = tmp_path / "clicks.wav"
    source = "aevalsrc='if(lt(mod(t,0.25),0.003),0.9,0.002*sin(2000*t))':d=3:s=48000"
    ffmpeg("-f", "lavfi", "-i", source, str(clicks))
    _, path = await harness.cut(
        await harness.request([clip(color="red", seconds=3)], seconds=3, music=clicks)
    )
    assert 0.5 < np.abs(sound(path)).max() < 0.95


async def test_without_any_sound_there_is_a_silent_track(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    made, path = await harness.cut(await harness.request([clip(color="red"), clip(color="blue")]))
    assert made.facts.audio is not None
    assert (made.facts.audio.codec, made.facts.audio_tracks, made.facts.audio.peak) == ("aac", 1, 0)
    assert len(sound(path)) == pytest.approx(2 * 48000, abs=2048)


async def test_music_too_soft_to_be_noticed_leaves_a_silent_cut(
    harness: CutHarness, clip: Callable[..., Path], tmp_path: Path
) -> None:
    intro = tmp_path / "intro.wav"  # nothing much in the part that is used, loud after it
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='if(lt(t,3),0.001,0.5)*sin(2000*t)':d=5:s=48000", str(intro))
    request = await harness.request([clip(color="red"), clip(color="blue")], music=intro)
    made, _ = await harness.cut(request)
    assert made.facts.audio is not None
    assert (made.facts.audio.peak, len(harness.ffmpeg.joins)) == (0, 1)
    second, _ = await harness.cut(request)
    assert second.already_stored, "a cut that is rightly silent is right the next time too"


async def test_a_cut_that_lost_its_clips_sound_fails_its_check(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    harness.ffmpeg.muted = True
    request = await harness.request([clip(color="red", tone=440), clip(color="blue")])
    with pytest.raises(CutFailed, match="silent although its music or its clips sound"):
        await harness.cut(request)


async def test_a_stored_cut_that_lost_its_sound_is_made_anew(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    request = await harness.request([clip(color="red", tone=440), clip(color="blue")])
    await harness.cut(request)
    metadata = dict((await harness.blobs.stat(request.cut_key)).metadata)
    silent, path = (
        await harness.request([clip(color="red"), clip(color="blue")]),
        harness.folder / "silent.mp4",
    )
    await harness.cut(dataclasses.replace(silent, cut_key="cuts/j/v2.mp4"))
    await harness.blobs.get_file("cuts/j/v2.mp4", path)
    await harness.blobs.put_file(request.cut_key, path, content_type="video/mp4", metadata=metadata)
    await harness.request([clip(color="red", tone=440), clip(color="blue")])
    made, _ = await harness.cut(request)
    assert not made.already_stored


async def test_a_clip_a_little_short_holds_its_last_frame(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    clips = [clip(color="red", seconds=0.8), clip(color="blue", seconds=3)]
    _, path = await harness.cut(await harness.request(clips))
    pixels = centres(path)
    assert len(pixels) == 48
    assert all(is_color(pixel, RED) for pixel in pixels[:24])
    assert all(is_color(pixel, BLUE) for pixel in pixels[24:])


async def test_a_clip_much_too_short_fails_the_cut(harness: CutHarness, clip: Callable[..., Path]) -> None:
    with pytest.raises(CutFailed, match=r"clip 2 lasts 0\.50 s of the 1\.00 s"):
        await harness.cut(await harness.request([clip(color="red"), clip(color="blue", seconds=0.5)]))


async def test_a_made_cut_is_found_and_not_made_again(
    harness: CutHarness, clip: Callable[..., Path], music: Path
) -> None:
    request = await harness.request([clip(color="red"), clip(color="lime")], music=music)
    first, _ = await harness.cut(request)
    await harness.blobs.delete("media/0.mp4")  # nothing of it is needed any more
    await harness.blobs.delete(request.thumbnail_key)
    harness.reports.clear()
    second, _ = await harness.cut(request)
    assert (first.already_stored, second.already_stored) == (False, True)
    assert second.facts == first.facts
    assert (len(harness.ffmpeg.joins), harness.reports) == (1, [])
    assert (await harness.blobs.stat(request.thumbnail_key)).content_type == "image/jpeg"


async def test_a_stored_cut_that_is_not_right_is_made_anew(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    request = await harness.request([clip(color="red"), clip(color="lime")])
    metadata = {"edit": request.edit.fingerprint()}
    wrong = clip(color="blue")
    await harness.blobs.put_file(request.cut_key, wrong, content_type="video/mp4", metadata=metadata)
    made, _ = await harness.cut(request)
    assert not made.already_stored


async def test_after_an_error_the_cut_is_made_once_more_without_copying(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    harness.ffmpeg.broken = 1
    made, _ = await harness.cut(await harness.request([clip(pattern=True), clip(color="lime")]))
    assert made.facts.video is not None
    first, second = harness.ffmpeg.joins
    assert "copy" in first.arguments
    assert "libx264" in second.arguments
    assert any("trying again: FFmpeg failed" in message for _, message in harness.reports)


async def test_a_retry_while_another_request_waits_still_makes_it_once(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    request = await harness.request([clip(pattern=True)])
    harness.ffmpeg.broken = 2

    async def insist() -> MadeCut:
        try:
            return await harness.make.run(request, harness.report)
        except CutFailed:  # the one that waits is woken, and has not run yet
            return await harness.make.run(request, harness.report)

    made = await asyncio.gather(insist(), harness.make.run(request, harness.report))
    assert sorted(each.already_stored for each in made) == [False, True]
    assert len(harness.ffmpeg.joins) == 2 + 1


async def test_a_cut_that_another_replica_stored_meanwhile_stays(
    harness: CutHarness, clip: Callable[..., Path], tmp_path: Path
) -> None:
    work = WorkFolders(tmp_path / "work")
    await work.start()
    theirs: list[MadeCut] = []

    def maker(ffmpeg: FFmpegBinary, crf: int) -> MakeCut:
        encoder = Encoder("ultrafast", crf)
        prober, thumbnails = AvProber(), PillowThumbnailRenderer()
        return MakeCut(
            blobs=harness.blobs,
            ffmpeg=ffmpeg,
            prober=prober,
            thumbnails=thumbnails,
            workspace=work,
            encoder=encoder,
        )

    class Slow(FFmpegBinary):
        """Another replica makes the whole cut while it works."""

        async def run(self, command: Command, folder: Path, progress: Progress | None = None) -> str:
            theirs.append(await maker(FFmpegBinary(), crf=40).run(request, harness.report))
            return await super().run(command, folder, progress)

    request = await harness.request(
        [clip(pattern=True, size="322x180")]
    )  # coded anew, so that theirs differs
    ours = await maker(Slow(), crf=10).run(request, harness.report)
    stored = await harness.blobs.stat(request.cut_key)
    assert ours.facts == theirs[0].facts
    assert (stored.size, stored.metadata["sha256"]) == (ours.facts.size, ours.facts.sha256)
    await work.stop()


async def test_two_errors_fail_the_cut_with_the_true_reason(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    harness.ffmpeg.broken = 2
    request = await harness.request([clip(pattern=True)])
    with pytest.raises(CutFailed, match="on purpose"):
        await harness.cut(request)
    with pytest.raises(NotFound):
        await harness.blobs.stat(request.cut_key)


async def test_a_file_that_is_no_video_is_named(
    harness: CutHarness, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret\n")
    with pytest.raises(CutFailed, match=r"clip 2 \(media/1\.mp4\) cannot be used") as failed:
        await harness.cut(await harness.request([clip(color="red"), text]))
    assert failed.value.code == "clip"


@pytest.mark.parametrize("what", ["no samples", "an unknown coding"])
async def test_music_without_sound_is_named(
    harness: CutHarness, tmp_path: Path, clip: Callable[..., Path], music: Path, what: str
) -> None:
    mute = tmp_path / "mute.wav"
    if what == "no samples":
        ffmpeg("-f", "lavfi", "-i", "anullsrc", "-t", "0", str(mute))
    else:
        data = bytearray(music.read_bytes())
        data[20:22] = b"\x34\x12"  # the format's tag
        mute.write_bytes(data)
    with pytest.raises(CutFailed, match=r"music \(assets/music\) has no sound; choose another file"):
        await harness.cut(await harness.request([clip(color="red")], music=mute))


async def test_a_clip_in_an_unknown_coding_is_named(
    harness: CutHarness, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    strange = tmp_path / "strange.mp4"
    strange.write_bytes(clip(color="red").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(
        CutFailed, match=r"clip 1 .* cannot be used: its picture is in a format that we do not"
    ):
        await harness.cut(await harness.request([strange]))


async def test_a_cut_of_which_no_thumbnail_can_be_made_fails_and_is_not_stored(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    class Blind(PillowThumbnailRenderer):
        async def of_video(self, path: Path, *, width: int, content_type: str) -> bytes:
            raise Unreadable("not one of its frames can be decoded")

    harness.make = dataclasses.replace(harness.make, thumbnails=Blind())
    request = await harness.request([clip(color="red")])
    with pytest.raises(CutFailed, match="no thumbnail can be made of the cut: not one"):
        await harness.cut(request)
    with pytest.raises(NotFound):
        await harness.blobs.stat(request.cut_key)


async def test_a_damaged_clip_fails_the_cut(
    harness: CutHarness, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    whole = bytearray(clip(pattern=True, seconds=2).read_bytes())
    data = whole.index(b"mdat")
    length = int.from_bytes(whole[data - 4 : data], "big")
    start, end = data + length * 3 // 10, data + length * 9 // 10  # the first frame and the index stay whole
    whole[start:end] = (bytes(range(256)) * (length // 256 + 1))[: end - start]
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(whole)
    with pytest.raises(CutFailed) as failed:
        await harness.cut(await harness.request([clip(color="red"), damaged], seconds=[1, 2], fps=25))
    assert failed.value.code == "clip"
    assert "clip 2 (media/1.mp4) cannot be used: it is broken" in failed.value.message


async def test_a_missing_clip_is_named(harness: CutHarness, clip: Callable[..., Path]) -> None:
    request = await harness.request([clip(color="red"), clip(color="blue")])
    await harness.blobs.delete("media/1.mp4")
    with pytest.raises(NotFound, match=r"clip 2 is not in the store: media/1\.mp4"):
        await harness.cut(request)


async def test_an_impossible_edit_is_refused_before_anything_is_fetched(
    harness: CutHarness, clip: Callable[..., Path]
) -> None:
    with pytest.raises(Invalid, match=r"edit\.clips\[1\]\.out_seconds"):
        await harness.cut(
            await harness.request(
                [clip(color="red")] * 3, joints=[dataclasses.replace(CROSSFADE, seconds=0.6)] * 2
            )
        )
    assert harness.reports == []


async def test_a_full_hd_cut_is_made(harness: CutHarness, clip: Callable[..., Path]) -> None:
    clips = [clip(pattern=True, size="1920x1080", seconds=1), clip(color="lime")]
    made, _ = await harness.cut(await harness.request(clips, size=(1920, 1080)))
    assert made.facts.video is not None
    assert (made.facts.video.width, made.facts.video.frames) == (1920, 48)
