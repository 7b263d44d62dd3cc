"""Converts a job's edit between the document that is stored and the contract that is sent and shown."""

from __future__ import annotations

from google.protobuf import json_format

from catalog.core.jobs.domain.model import EditDocument, Job
from rushes.edit.v1 import edit_pb2


def edit_document(edit: edit_pb2.Edit) -> EditDocument:
    """The edit as it is stored: with the contract's own names, which queries know."""
    return json_format.MessageToDict(edit, preserving_proto_field_name=True)


def edit_message(document: EditDocument) -> edit_pb2.Edit:
    """The edit of a stored document.

    Raises:
        json_format.ParseError: it has fields of a newer contract. A cut without them would be another one.
    """
    return json_format.ParseDict(dict(document), edit_pb2.Edit())


def resolved_edit(job: Job) -> edit_pb2.Edit:
    """The job's edit, with what is stored by now for its clips and its music."""
    edit = edit_message(job.edit)
    media_ids = {scene.id: scene.media_id for scene in job.scenes}
    for clip in edit.clips:
        clip.media_id = media_ids.get(clip.scene_id, clip.media_id)
    if job.music is not None:
        edit.music.model = job.music.model
        edit.music.generation_id = job.music.generation_id
        edit.music.media_id = job.music.media_id
    return edit
