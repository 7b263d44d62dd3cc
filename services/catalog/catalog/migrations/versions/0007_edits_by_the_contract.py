"""A job's edit becomes the JSON of `rushes.edit.v1.Edit`; its music, and the size of its clips, leave it."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String),
    sa.column("request", sa.JSON),
    sa.column("edit", sa.JSON),
    sa.column("music", sa.JSON),
)
_SCENES = sa.table(
    "scenes", sa.column("id"), sa.column("job_id"), sa.column("position"), sa.column("seconds")
)
_MEDIA = sa.table("media", sa.column("id"), sa.column("generation_id"), sa.column("blob_key"))


def upgrade() -> None:
    op.add_column("jobs", sa.Column("music", sa.JSON(), nullable=True))
    connection = op.get_bind()
    for job in connection.execute(sa.select(_JOBS)).all():
        clips = sa.select(_SCENES.c.id, _SCENES.c.seconds).where(_SCENES.c.job_id == job.id)
        scenes = connection.execute(clips.order_by(_SCENES.c.position)).all()
        music = job.edit["music"]
        if music is not None:
            music = {**music, "media_id": _media_id(connection, music)}
            del music["gain_db"]
        changes = {
            "request": {**job.request, "width": job.edit["width"], "height": job.edit["height"]},
            "edit": _by_the_contract(job.edit, scenes),
            "music": music,
        }
        # A NUL in a prompt could once be stored, and keeps PostgreSQL from querying the column.
        update = sa.update(_JOBS).where(_JOBS.c.id == job.id)
        connection.execute(update.values(_without_nul(changes)))


def downgrade() -> None:
    """Put the music back. What the old form has no place for (fits, loudness, fades) is lost."""
    connection = op.get_bind()
    for job in connection.execute(sa.select(_JOBS)).all():
        edit = _of_before(job.edit, job.music)  # the size stays in the request, which is read without it
        connection.execute(sa.update(_JOBS).where(_JOBS.c.id == job.id).values(edit=edit))
    op.drop_column("jobs", "music")


def _media_id(connection: sa.Connection, music: Mapping[str, Any]) -> str:
    """The media that was composed; empty until it is stored, and for an uploaded piece."""
    if not (music["generation_id"] and music["blob_key"]):
        return ""
    stored = sa.select(_MEDIA.c.id).where(
        _MEDIA.c.generation_id == music["generation_id"], _MEDIA.c.blob_key == music["blob_key"]
    )
    return connection.execute(stored).scalar() or ""


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def _by_the_contract(edit: Mapping[str, Any], scenes: Iterable[Any]) -> dict[str, Any]:
    """What is written out here is what was cut before; the stitcher's defaults are the same for the rest."""
    transition: dict[str, Any] = {"kind": "TRANSITION_KIND_CUT"}
    if edit["transition"] == "crossfade":
        transition = {"kind": "TRANSITION_KIND_CROSSFADE", "seconds": edit["transition_seconds"]}
    document = {"width": edit["width"], "height": edit["height"], "fps": edit["fps"]}
    if clips := [{"scene_id": scene.id, "out_seconds": scene.seconds} for scene in scenes]:
        document["clips"] = clips
    document["transition"] = transition
    if edit["music"] is not None:
        music = {name: edit["music"][name] for name in ("asset_id", "prompt", "model", "gain_db")}
        document["music"] = {name: value for name, value in music.items() if value}
    return document


def _of_before(document: Mapping[str, Any], music: Mapping[str, Any] | None) -> dict[str, Any]:
    transition = document.get("transition", {})
    fades = transition.get("kind") == "TRANSITION_KIND_CROSSFADE"
    if music is not None:
        gain_db = document.get("music", {}).get("gain_db", 0.0)
        music = {**{name: value for name, value in music.items() if name != "media_id"}, "gain_db": gain_db}
    return {
        "width": document["width"],
        "height": document["height"],
        "fps": document["fps"],
        "transition": "crossfade" if fades else "cut",
        "transition_seconds": transition.get("seconds", 0.5) if fades else 0.0,
        "music": music,
    }
