"""A job's edit: judged by the stitcher before anything is paid, stored as it answers, and sent whole."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from alembic import command
from catalog_jobs import planned
from running_catalog import RunningCatalog, running
from sqlalchemy import JSON, column, insert, select, table

from catalog.adapters.db.migrate import Migrator, alembic_config
from catalog.adapters.jobs.stitcher_client import GrpcStitcher
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.jobs.domain.model import Music
from catalog.core.shared.domain import MediaKind, RunSpec
from catalog.edit_message import edit_document, edit_message, resolved_edit
from rushes.catalog.v1 import jobs_pb2
from rushes.common.v1 import media_pb2
from rushes.edit.v1 import edit_pb2
from rushes.stitcher.v1.stitcher_pb2_grpc import StitcherServiceStub
from servicekit.database.engine import open_engine
from servicekit.errors import FieldProblem, Invalid, Unavailable
from servicekit.grpc.client import open_channel
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, SimulatedClock

CROSSFADE = edit_pb2.TRANSITION_KIND_CROSSFADE


async def test_the_edit_of_the_planned_scenes_is_judged_and_stored_as_it_was_answered(
    catalog: RunningCatalog,
) -> None:
    campaign = await catalog.campaign()
    music = jobs_pb2.MusicRequest(prompt="calm", gain_db=-6)
    job = await planned(catalog, campaign.id, music=music, transition=CROSSFADE, transition_seconds=1.5)
    (judged,) = catalog.stitcher.checked
    assert judged == edit_pb2.Edit(
        width=640,
        height=360,
        fps=25,
        clips=[edit_pb2.Clip(scene_id=scene.id, out_seconds=4) for scene in job.scenes],
        transition=edit_pb2.Transition(kind=CROSSFADE, seconds=1.5),
        music=edit_pb2.Music(prompt="calm", gain_db=-6),
    )
    judged.fit = edit_pb2.FIT_AUTO
    judged.music.model = "rushes/music-bed"
    assert job.edit == judged
    assert catalog.generator.prepared[-1].scene.seconds == 4 + 4 - 1.5, "the music is as long as the cut"


async def test_the_number_of_a_transition_is_handed_on_whatever_it_means(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign()
    job = await planned(catalog, campaign.id, transition=77)
    assert catalog.stitcher.checked[0].transition == edit_pb2.Transition(kind=77)
    assert job.edit.transition.kind == 77


async def test_an_edit_that_cannot_be_cut_fails_the_job_by_field_before_anything_is_paid(
    catalog: RunningCatalog,
) -> None:
    campaign = await catalog.campaign()
    problem = FieldProblem("edit.clips[0].out_seconds", "4 s are too short")
    catalog.stitcher.troubles = [Invalid("the cut cannot be made: too short", fields=[problem])]
    with pytest.raises(Invalid) as refused:
        await planned(catalog, campaign.id)
    assert refused.value.fields == (problem,)
    (job,) = (await catalog.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs
    assert job.status == jobs_pb2.JOB_STATUS_FAILED
    assert job.error.message == "the cut cannot be made: too short"


async def test_a_stitcher_that_is_away_is_called_again(sqlite_database: str, nats: NatsFixture) -> None:
    async with running(sqlite_database, str(nats)) as catalog:
        campaign = await catalog.campaign()
        catalog.stitcher.troubles = [Unavailable("restarting", retry_after=0.01)]
        job = await planned(catalog, campaign.id)
        assert job.status == jobs_pb2.JOB_STATUS_AWAITING_APPROVAL


async def test_uploaded_music_is_named_by_its_asset_alone(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign()
    song = await catalog.asset(campaign.id, "song", kind=media_pb2.MEDIA_KIND_AUDIO)
    job = await planned(catalog, campaign.id, music=jobs_pb2.MusicRequest(asset_id=song.id))
    assert job.edit.music == edit_pb2.Music(asset_id=song.id)


async def test_the_clip_of_a_scene_that_stays_keeps_its_beginning_and_fit(catalog: RunningCatalog) -> None:
    stays, goes, last = (new_id("scene") for _ in range(3))
    fade = edit_pb2.Transition(kind=CROSSFADE)
    edit = edit_pb2.Edit(width=640, height=360, fps=25)
    edit.clips.add(scene_id=goes, out_seconds=2)
    edit.clips.add(scene_id=stays, in_seconds=1, out_seconds=3, fit=edit_pb2.FIT_BARS, transition=fade)
    edit.clips.add(scene_id=last, out_seconds=2, transition=fade)
    async with open_channel(catalog.stitcher.address) as channel:
        stitcher = GrpcStitcher(StitcherServiceStub(channel))
        clips = [(stays, 4.0), (last, 2.0)]
        checked = await stitcher.check(edit_document(edit), clips)
    assert list(edit_message(checked.edit).clips) == [
        edit_pb2.Clip(scene_id=stays, in_seconds=1, out_seconds=5, fit=edit_pb2.FIT_BARS, transition=fade),
        edit_pb2.Clip(scene_id=last, out_seconds=2),
    ]


RUN = {"provider": "replicate", "model": "rushes/music-bed", "version": "v1", "kind": "audio", "assets": []}
OLD_MUSIC = {
    "asset_id": "",
    "prompt": "calm",
    "model": "rushes/music-bed",
    "gain_db": -6.0,
    "run": RUN,
    "generation_id": "gen_3",
    "blob_key": "media/gen_3/0.mp3",
}
OLD_REQUEST = {"scene_count": 2, "scene_seconds": 4.0, "model": "", "planner": "llm", "pairs": []}
FADED = {
    "width": 1920,
    "height": 1080,
    "fps": 25.0,
    "transition": "crossfade",
    "transition_seconds": 0.5,
    "music": OLD_MUSIC,
}
SILENT = {**FADED, "transition": "cut", "transition_seconds": 0.0, "music": None}
BEFORE = "0006"


async def test_edits_of_before_the_contract_are_rewritten_and_their_music_leaves_them(
    database_url: str,
) -> None:
    engine = open_engine(database_url)
    migrator = Migrator(engine)
    await migrator.start()

    def as_before(connection: object) -> None:
        command.downgrade(alembic_config(connection), BEFORE)  # type: ignore[arg-type]

    async with engine.begin() as connection:
        await connection.run_sync(as_before)
        nul = {**FADED, "music": {**OLD_MUSIC, "prompt": "ca\0lm"}}  # which is not refused before the upgrade
        for job_id, edit in (("job_1", nul), ("job_2", SILENT)):
            row = {
                "id": job_id,
                "campaign_id": "cmp_1",
                "status": "stitching",
                "paused": False,
                "request": OLD_REQUEST,
                "edit": edit,
                "planner": "llm",
                "version": 1,
                "stitch_round": 1,
                "stitch_errors": 0,
                "percent": 0.0,
                "message": "",
                "created_at": 1,
                "updated_at": 1,
                "last_event_at": 1,
                "stalled_rounds": 0,
            }
            json_columns = {"request", "edit"}
            columns = [column(name, JSON) if name in json_columns else column(name) for name in row]
            await connection.execute(insert(table("jobs", *columns)).values(row))
        for position in (1, 2):
            scene = {
                "id": f"scn_{position}",
                "job_id": "job_1",
                "position": position,
                "prompt": "",
                "seconds": 4.0,
                "first_asset_id": "ast_1",
                "last_asset_id": "",
                "reason": "",
                "run": RUN,
                "generation_id": f"gen_{position}",
                "media_id": f"med_{position}",
                "blob_key": f"media/gen_{position}/0.mp4",
            }
            columns = [column(name, JSON) if name == "run" else column(name) for name in scene]
            await connection.execute(insert(table("scenes", *columns)).values(scene))
        media = {"id": "med_3", "generation_id": "gen_3", "index": 0, "blob_key": "media/gen_3/0.mp3"}
        columns = [column(name) for name in (*media, "created_at")]
        made = {**media, "created_at": 1, "facts": {"kind": "audio"}}
        await connection.execute(insert(table("media", *columns, column("facts", JSON))).values(made))
    await migrator.stop()

    await migrator.start()
    database = SqlDatabase(engine, SimulatedClock(), stalled_after=timedelta(seconds=60))
    async with database.read() as unit:
        faded, silent = [await unit.jobs.get(job_id) for job_id in ("job_1", "job_2")]
    assert (faded.request.width, faded.request.height) == (1920, 1080)
    run = RunSpec("replicate", "rushes/music-bed", "v1", MediaKind.AUDIO)
    assert faded.music == Music(
        prompt="calm",
        model="rushes/music-bed",
        run=run,
        generation_id="gen_3",
        media_id="med_3",
        blob_key="media/gen_3/0.mp3",
    )
    assert resolved_edit(faded) == edit_pb2.Edit(
        width=1920,
        height=1080,
        fps=25,
        clips=[
            edit_pb2.Clip(scene_id=f"scn_{number}", media_id=f"med_{number}", out_seconds=4)
            for number in (1, 2)
        ],
        transition=edit_pb2.Transition(kind=CROSSFADE, seconds=0.5),
        music=edit_pb2.Music(
            prompt="calm",
            model="rushes/music-bed",
            gain_db=-6,
            generation_id="gen_3",
            media_id="med_3",
        ),
    )
    assert silent.music is None
    assert resolved_edit(silent) == edit_pb2.Edit(
        width=1920,
        height=1080,
        fps=25,
        transition=edit_pb2.Transition(kind=edit_pb2.TRANSITION_KIND_CUT),
    )

    async with engine.begin() as connection:
        await connection.run_sync(as_before)
        edits = select(table("jobs", column("id"), column("edit", JSON)))
        found = await connection.execute(edits)
        before = {row.id: row.edit for row in found}
    assert json.dumps(before, sort_keys=True) == json.dumps({"job_1": FADED, "job_2": SILENT}, sort_keys=True)
    await migrator.stop()
