"""The contract of an edit: what is read, what is written out, and what is refused by its field."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.descriptor import Descriptor

from rushes.edit.v1 import edit_pb2 as pb
from servicekit.errors import Invalid
from servicekit.ids import new_id
from stitcher.core.cuts.domain.edit import Clip, Edit, Loudness, Music
from stitcher.core.cuts.domain.transitions import TRANSITIONS, Transition
from stitcher.core.cuts.domain.video_filters import FITS
from stitcher.edges.edit_message import NOT_YET, read_edit, with_defaults

MEDIA, ASSET = new_id("media"), new_id("asset")

READ = {
    "Edit": {"width", "height", "fps", "clips", "transition", "fit", "music", "loudness"},
    "Clip": {"media_id", "in_seconds", "out_seconds", "transition", "fit"},
    "Transition": {"kind", "seconds"},
    "Music": {"asset_id", "media_id", "gain_db", "fade_in_seconds", "fade_out_seconds", "prompt"},
    "Loudness": {"integrated_lufs", "true_peak_db"},
}
ORIGINS = {"Clip": {"scene_id"}, "Music": {"model", "generation_id"}}
"""Fields that tell where a file comes from: no two cuts differ by them."""


def edit(**fields: object) -> pb.Edit:
    clips = [pb.Clip(media_id=MEDIA, in_seconds=1, out_seconds=4), pb.Clip(media_id=MEDIA, out_seconds=2)]
    return pb.Edit(**{"width": 320, "height": 180, "fps": 24, "clips": clips, **fields})  # type: ignore[arg-type]


def test_an_edit_of_clips_alone_is_cut_by_the_defaults() -> None:
    assert read_edit(edit()) == Edit(
        320,
        180,
        24,
        clips=(Clip(MEDIA, 1, 4, "auto"), Clip(MEDIA, 0, 2, "auto")),
        joints=(Transition("cut", 0),),
        music=None,
        loudness=Loudness(-16, -1.5),
    )


def test_every_part_of_an_edit_is_read() -> None:
    crossfade = pb.Transition(kind=pb.TRANSITION_KIND_CROSSFADE, seconds=1)
    message = edit(
        clips=[
            pb.Clip(media_id=MEDIA, out_seconds=4, transition=pb.Transition(kind=pb.TRANSITION_KIND_CUT)),
            pb.Clip(media_id=MEDIA, out_seconds=4, fit=pb.FIT_CROP),
            pb.Clip(media_id=MEDIA, out_seconds=4),
        ],
        transition=crossfade,
        fit=pb.FIT_BARS,
        music=pb.Music(asset_id=ASSET, gain_db=-6, fade_in_seconds=2, fade_out_seconds=0),
        loudness=pb.Loudness(integrated_lufs=-23, true_peak_db=-1),
    )
    read = read_edit(message)
    assert [clip.fit for clip in read.clips] == ["bars", "crop", "bars"]
    assert read.joints == (Transition("cut"), Transition("crossfade", 1))
    assert read.music == Music(ASSET, -6, 2, 0)
    assert read.loudness == Loudness(-23, -1)


def test_a_transition_lasts_half_a_second_by_default() -> None:
    crossfade = pb.Transition(kind=pb.TRANSITION_KIND_CROSSFADE)
    assert read_edit(edit(transition=crossfade)).joints == (Transition("crossfade", 0.5),)


def test_what_was_left_out_is_written_out_and_nothing_else_changes() -> None:
    message = edit(
        music=pb.Music(prompt="a waltz"), transition=pb.Transition(kind=pb.TRANSITION_KIND_CROSSFADE)
    )
    written = with_defaults(message)
    assert (written.transition.seconds, written.fit) == (0.5, pb.FIT_AUTO)
    assert (written.music.fade_in_seconds, written.music.fade_out_seconds) == (0, 1.5)
    assert (written.loudness.integrated_lufs, written.loudness.true_peak_db) == (-16, -1.5)
    assert not message.HasField("loudness"), "the message itself stays as it was"
    assert with_defaults(written) == written
    assert read_edit(written) == read_edit(message)
    for name in ("transition", "fit", "music", "loudness"):
        written.ClearField(name)
        message.ClearField(name)
    assert written == message


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("voiceover", pb.Voiceover(lines=[pb.VoiceoverLine(text="hello")]), "cannot mix a voice-over yet"),
        ("texts", [pb.Text(text="hello")], "cannot draw texts yet"),
        ("captions", pb.Captions(), "cannot make captions yet"),
        ("closing_card", pb.ClosingCard(), "cannot draw a closing card yet"),
        ("brand", pb.Brand(), "cannot draw in a client's brand yet"),
    ],
)
def test_what_the_stitcher_cannot_do_yet_is_refused_by_field(field: str, value: object, message: str) -> None:
    with pytest.raises(Invalid, match=f"edit.{field}: the stitcher {message}") as refused:
        read_edit(edit(**{field: value}))
    assert [problem.field for problem in refused.value.fields] == [f"edit.{field}"]


def with_unknown_field(message: pb.Edit) -> None:
    message.clips[1].MergeFromString(b"\xf8\x3e\x01")  # field 1007


def with_transition_after_the_last(message: pb.Edit) -> None:
    message.clips[1].transition.kind = pb.TRANSITION_KIND_CUT


def with_kind_of_a_newer_contract(message: pb.Edit) -> None:
    message.clips[0].transition.MergeFromString(b"\x08\x63")  # kind 99


def with_fit_of_a_newer_contract(message: pb.Edit) -> None:
    message.MergeFromString(b"\x30\x63")


def with_music_of_nothing(message: pb.Edit) -> None:
    message.music.gain_db = -3


def with_two_musics(message: pb.Edit) -> None:
    message.music.CopyFrom(pb.Music(asset_id=ASSET, media_id=MEDIA))


@pytest.mark.parametrize(
    ("spoil", "field", "message"),
    [
        (with_unknown_field, "edit", "has fields that this stitcher, being older, does not know"),
        (with_transition_after_the_last, "edit.clips[1].transition", "no clip follows"),
        (
            with_kind_of_a_newer_contract,
            "edit.clips[0].transition.kind",
            "cannot make '99' yet: use one of cut, cross",
        ),
        (with_fit_of_a_newer_contract, "edit.fit", "cannot make '99' yet: use one of auto, crop"),
        (with_music_of_nothing, "edit.music", "names no piece"),
        (with_two_musics, "edit.music.media_id", "second piece"),
    ],
)
def test_what_is_not_understood_is_refused_by_field(
    spoil: Callable[[pb.Edit], None], field: str, message: str
) -> None:
    spoiled = edit()
    spoil(spoiled)
    with pytest.raises(Invalid) as refused:
        read_edit(spoiled)
    (problem,) = refused.value.fields
    assert (problem.field, message in problem.message) == (field, True), problem


@pytest.mark.parametrize("message", [pb.Edit, pb.Clip, pb.Transition, pb.Music, pb.Loudness])
def test_no_field_of_the_contract_is_ignored(message: type[pb.Edit]) -> None:
    """A new field is read, refused, or tells an origin: else this fails."""
    descriptor: Descriptor = message.DESCRIPTOR
    refused = set(NOT_YET) if descriptor.name == "Edit" else set()
    accounted = READ[descriptor.name] | ORIGINS.get(descriptor.name, set()) | refused
    assert set(descriptor.fields_by_name) == accounted


def test_every_fit_of_the_contract_has_its_filters() -> None:
    assert [name.removeprefix("FIT_").lower() for name in pb.Fit.keys()[1:]] == list(FITS)
    assert "cut" in TRANSITIONS
