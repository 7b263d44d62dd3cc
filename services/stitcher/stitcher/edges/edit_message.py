"""Reads `rushes.edit.v1.Edit` into the core's edit, and refuses by field what the stitcher cannot cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from rushes.edit.v1 import edit_pb2
from servicekit.errors import FieldProblem
from stitcher.core.cuts.domain.edit import Clip, Edit, Loudness, Music, refusal
from stitcher.core.cuts.domain.transitions import TRANSITIONS, Transition
from stitcher.core.cuts.domain.video_filters import FITS

DEFAULT_TRANSITION_SECONDS = 0.5

NOT_YET = {
    "voiceover": "the stitcher cannot mix a voice-over yet",
    "texts": "the stitcher cannot draw texts yet",
    "captions": "the stitcher cannot make captions yet",
    "closing_card": "the stitcher cannot draw a closing card yet",
    "brand": "the stitcher cannot draw in a client's brand yet",
}
"""Fields of the contract that the stitcher cannot follow. They are refused: a cut that ignores one is not the
requested one."""


def with_defaults(message: edit_pb2.Edit) -> edit_pb2.Edit:
    """A copy in which everything that was left out is written out."""
    edit = edit_pb2.Edit()
    edit.CopyFrom(message)
    own = (clip.transition for clip in edit.clips if clip.HasField("transition"))
    for transition in (edit.transition, *own):
        transition.kind = transition.kind or edit_pb2.TRANSITION_KIND_CUT
        if transition.kind == edit_pb2.TRANSITION_KIND_CUT:
            transition.ClearField("seconds")
        elif not transition.HasField("seconds"):
            transition.seconds = DEFAULT_TRANSITION_SECONDS
    edit.fit = edit.fit or edit_pb2.FIT_AUTO
    default = Loudness()
    if not edit.loudness.HasField("integrated_lufs"):
        edit.loudness.integrated_lufs = default.integrated_lufs
    if not edit.loudness.HasField("true_peak_db"):
        edit.loudness.true_peak_db = default.true_peak_db
    if edit.HasField("music"):
        if not edit.music.HasField("fade_in_seconds"):
            edit.music.fade_in_seconds = Music.fade_in_seconds
        if not edit.music.HasField("fade_out_seconds"):
            edit.music.fade_out_seconds = Music.fade_out_seconds
    return edit


def read_edit(message: edit_pb2.Edit) -> Edit:
    """The core's edit of a message that keeps the rules of its fields. Its files may be missing.

    Raises:
        Invalid: it has parts that the stitcher cannot follow; names each by its field.
    """
    edit = with_defaults(message)
    if problems := [*_problems(edit)]:
        raise refusal(problems)
    return Edit(
        width=edit.width,
        height=edit.height,
        fps=edit.fps,
        clips=tuple(
            Clip(clip.media_id, clip.in_seconds, clip.out_seconds, _word(clip if clip.fit else edit, "fit"))
            for clip in edit.clips
        ),
        joints=tuple(
            _transition(clip.transition if clip.HasField("transition") else edit.transition)
            for clip in edit.clips[:-1]
        ),
        music=_music(edit.music) if edit.HasField("music") else None,
        loudness=Loudness(edit.loudness.integrated_lufs, edit.loudness.true_peak_db),
    )


def _problems(edit: edit_pb2.Edit) -> Iterator[FieldProblem]:
    set_fields = {field.name for field, _ in edit.ListFields()}
    for name, reason in NOT_YET.items():
        if name in set_fields:
            yield FieldProblem(f"edit.{name}", reason)
    known = edit_pb2.Edit()
    known.CopyFrom(edit)
    known.DiscardUnknownFields()
    if known.ByteSize() != edit.ByteSize():
        yield FieldProblem("edit", "it has fields that this stitcher, being older, does not know")
    yield from _choice_problems("edit", edit)
    for index, clip in enumerate(edit.clips):
        yield from _choice_problems(f"edit.clips[{index}]", clip)
    if edit.clips and edit.clips[-1].HasField("transition"):
        yield FieldProblem(f"edit.clips[{len(edit.clips) - 1}].transition", "no clip follows the last one")
    music = edit.music
    if edit.HasField("music") and not (music.asset_id or music.media_id or music.prompt):
        yield FieldProblem("edit.music", "names no piece: give an asset_id, or a prompt to compose from")
    if music.asset_id and music.media_id:
        yield FieldProblem(
            "edit.music.media_id", "names a second piece beside asset_id: leave one of them out"
        )


def _choice_problems(path: str, part: edit_pb2.Edit | edit_pb2.Clip) -> Iterator[FieldProblem]:
    """Kinds of transition and fits for which there are no filters."""
    kind = _word(part.transition, "kind") if part.HasField("transition") else ""
    fit = _word(part, "fit") if part.fit else ""
    for field, word, known in (("transition.kind", kind, TRANSITIONS), ("fit", fit, FITS)):
        if word and word not in known:
            message = f"the stitcher cannot make {word!r} yet: use one of {', '.join(known)}"
            yield FieldProblem(f"{path}.{field}", message)


def _word(message: Message, field: str) -> str:
    """The value of an enum as the core's tables name it: in lower case, without its prefix."""
    enum = cast("EnumDescriptor", message.DESCRIPTOR.fields_by_name[field].enum_type)
    number = getattr(message, field)
    value = enum.values_by_number.get(number)
    if value is None:  # of a newer contract
        return str(number)
    return value.name.removeprefix(enum.values[0].name.removesuffix("UNSPECIFIED")).lower()


def _transition(transition: edit_pb2.Transition) -> Transition:
    return Transition(_word(transition, "kind"), transition.seconds)


def _music(music: edit_pb2.Music) -> Music:
    id_ = music.asset_id or music.media_id
    return Music(id_, music.gain_db, music.fade_in_seconds, music.fade_out_seconds)
