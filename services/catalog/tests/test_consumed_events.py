"""What the events of other services do, over the real log: retries, losses, cancels, stalls, crashes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from catalog_core import RUN
from catalog_jobs import approved
from running_catalog import RunningCatalog, running, settings_for
from sqlalchemy import update

from catalog.adapters.db import tables
from catalog.core.generations.domain.requesting import create_generation
from catalog.main import compose
from rushes.catalog.v1 import attempts_pb2, generations_pb2, jobs_pb2, storage_pb2
from rushes.common.v1 import media_pb2 as common_pb2
from rushes.events.v1 import events_pb2
from servicekit.clock import SystemClock
from servicekit.errors import NotFound
from servicekit.ids import new_id
from servicekit.telemetry.alert_metrics import OUTPUTS_AT_RISK
from servicekit.testing import NatsFixture, SimulatedClock, eventually


async def test_a_passing_error_is_requested_again_after_its_wait(catalog: RunningCatalog) -> None:
    made = await catalog.generation()
    await catalog.fail(await catalog.submitted(made.id), "E6716", retryable=True, wait=0.3)
    shown = await catalog.stage(made.id, "requested")
    assert shown.cost_cents == 1.5, "a failed attempt is paid for"
    first, second = await catalog.published("generation.requested.>", 2)
    rounds = [each.message(events_pb2.GenerationRequested).round for each in (first, second)]
    assert rounds == [1, 2]
    assert (first.id, second.id) == (f"{made.id}:requested:1", f"{made.id}:requested:2")
    await catalog.made(made.id)
    shown = await catalog.stage(made.id, "completed")
    assert (shown.attempts, shown.cost_cents) == (2, 3.0)


async def test_a_refusal_is_final_in_the_providers_words(catalog: RunningCatalog) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)
    await catalog.fail(attempt)
    shown = await catalog.stage(made.id, "failed")
    assert (shown.error.code, shown.error.message) == ("E005", "E005 at the provider")
    await catalog.succeed(attempt)
    await catalog.store(attempt)
    later = await catalog.generation()
    await catalog.made(later.id)
    await catalog.stage(later.id, "completed")
    assert (await catalog.get(made.id)).stage == generations_pb2.GENERATION_STAGE_FAILED, "too late"


async def test_outputs_may_come_before_the_success_that_announces_them(catalog: RunningCatalog) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)
    await catalog.store(attempt, 1)
    await catalog.store(attempt, 0)
    await catalog.succeed(attempt, outputs=2)
    shown = await catalog.stage(made.id, "completed")
    assert [each.index for each in shown.media] == [0, 1]
    stored = await catalog.published("media.stored.>", 2)
    thumbnails = {each.message(events_pb2.MediaStored).thumbnail_key for each in stored}
    assert thumbnails == {f"thumbs/{each.id}.webp" for each in shown.media}
    (done,) = await catalog.published("generation.completed.>")
    assert list(done.message(events_pb2.GenerationCompleted).media_ids) == [each.id for each in shown.media]


async def test_progress_is_shown_while_it_runs_and_never_after(catalog: RunningCatalog) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)

    async def progress(percent: float) -> None:
        shown = common_pb2.Progress(percent=percent, message=f"frame {percent:g}")
        message = events_pb2.PredictionProgressed(prediction=catalog.ref(attempt), progress=shown)
        await catalog.publish("prediction.progressed", made.id, message, f"{percent}")

    await progress(50)

    async def shown() -> None:
        shown = (await catalog.get(made.id)).progress
        assert (shown.percent, shown.message) == (45.0, "frame 50")

    await eventually(shown)
    await catalog.fail(attempt)
    await catalog.stage(made.id, "failed")
    await progress(90)
    other = await catalog.generation()
    await catalog.made(other.id)
    await catalog.stage(other.id, "completed")
    assert (await catalog.get(made.id)).progress.message == "E005 at the provider"


async def _lost(catalog: RunningCatalog) -> generations_pb2.LostOutput:
    """The only output in the retry queue, once it is there."""

    async def there() -> generations_pb2.LostOutput:
        queue = await catalog.downloads.ListLostOutputs(generations_pb2.ListLostOutputsRequest())
        assert len(queue.downloads) == 1
        return queue.downloads[0]

    return await eventually(there)


async def test_a_lost_output_stands_in_the_queue_and_comes_when_it_is_requested_again(
    catalog: RunningCatalog,
) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)
    await catalog.succeed(attempt)
    await catalog.stage(made.id, "fetching")
    await catalog.lose(attempt, retryable=False)
    assert (await catalog.stage(made.id, "failed")).error.code == "truncated"
    queue = await catalog.downloads.ListLostOutputs(generations_pb2.ListLostOutputsRequest())
    assert [(each.generation_id, each.alive) for each in queue.downloads] == [(made.id, True)]

    await catalog.downloads.RequeueDownload(generations_pb2.RequeueDownloadRequest(generation_id=made.id))
    queue = await catalog.downloads.ListLostOutputs(generations_pb2.ListLostOutputsRequest())
    assert not queue.downloads
    (requested,) = await catalog.published("generation.fetch_requested.>")
    fetch = requested.message(events_pb2.GenerationFetchRequested)
    assert (requested.key, requested.id) == (f"replicate.{made.id}", f"{made.id}:fetch_requested:2")
    assert (fetch.generation_id, fetch.round) == (made.id, 2)
    assert len(await catalog.events_in_log("generation.requested.>")) == 1, "it waits for no slot"
    work = await catalog.begin(made.id)
    assert work.next_step == attempts_pb2.NEXT_STEP_FOLLOW
    assert work.attempt.prediction_id == attempt.prediction_id
    await catalog.succeed(attempt, round_=2)
    await catalog.store(attempt)
    assert (await catalog.stage(made.id, "completed")).attempts == 1


async def test_what_the_store_has_lost_is_requested_again_while_the_provider_keeps_it(
    catalog: RunningCatalog,
) -> None:
    made = await catalog.generation()
    attempt = await catalog.made(made.id)
    before = await catalog.stage(made.id, "completed")
    await catalog.downloads.RequeueDownload(generations_pb2.RequeueDownloadRequest(generation_id=made.id))
    await catalog.published("generation.fetch_requested.>")
    assert (await catalog.begin(made.id)).next_step == attempts_pb2.NEXT_STEP_FOLLOW
    await catalog.succeed(attempt, round_=2)
    after = await catalog.stage(made.id, "completed")
    assert (after.media, after.cost_cents) == (before.media, before.cost_cents)


async def test_the_next_step_is_answered_and_nothing_is_recorded(catalog: RunningCatalog) -> None:
    job = await approved(catalog, scene_count=2, music=None)
    first, second = (scene.generation_id for scene in job.scenes)
    assert await catalog.next_step(first) == await catalog.next_step(first) == ("submit", "")
    assert not await catalog.events_in_log("attempt.>")
    await catalog.begin(first)
    assert await catalog.next_step(first) == ("reconcile", "")
    await catalog.jobs.PauseJob(jobs_pb2.PauseJobRequest(id=job.id))
    assert await catalog.next_step(second) == ("nothing", "paused")
    await catalog.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=job.id))
    assert await catalog.next_step(second) == ("nothing", "canceled")
    with pytest.raises(NotFound):
        await catalog.next_step(new_id("generation"))


async def test_a_requeue_that_finds_the_output_gone_keeps_it_in_the_queue_as_not_alive(
    catalog: RunningCatalog,
) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)
    await catalog.succeed(attempt)
    await catalog.stage(made.id, "fetching")
    await catalog.lose(attempt, retryable=False)
    await catalog.stage(made.id, "failed")
    await catalog.downloads.RequeueDownload(generations_pb2.RequeueDownloadRequest(generation_id=made.id))
    await catalog.fail(attempt, "gone")
    await catalog.stage(made.id, "failed")
    queue = await catalog.downloads.ListLostOutputs(generations_pb2.ListLostOutputsRequest())
    shown = [(each.generation_id, each.index, each.error.code, each.alive) for each in queue.downloads]
    assert shown == [(made.id, 0, "gone", False)]
    stats = await catalog.storage.GetStorageStats(storage_pb2.GetStorageStatsRequest())
    assert (stats.downloads.failed, stats.downloads.lost) == (1, 1)


async def test_an_address_that_leads_nowhere_is_not_shown_as_alive(catalog: RunningCatalog) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)
    await catalog.succeed(attempt)
    await catalog.lose(attempt, retryable=True, code="gone")
    lost = await _lost(catalog)
    assert (lost.generation_id, lost.alive) == (made.id, False)


async def test_a_scene_lost_for_a_while_does_not_fail_its_job(catalog: RunningCatalog) -> None:
    job = await approved(catalog, scene_count=1, music=None)
    scene = job.scenes[0].generation_id
    attempt = await catalog.submitted(scene)
    await catalog.succeed(attempt)
    await catalog.stage(scene, "fetching")
    await catalog.lose(attempt, retryable=True)
    await _lost(catalog)
    shown = await catalog.get(scene)
    assert shown.status == generations_pb2.GENERATION_STATUS_PROCESSING
    assert shown.progress.message == "output 0 is fetched again soon: it ends too early"
    assert not await catalog.events_in_log("generation.failed.>")
    assert (await catalog.job(job.id)).status == jobs_pb2.JOB_STATUS_RENDERING
    await catalog.downloads.RequeueDownload(generations_pb2.RequeueDownloadRequest(generation_id=scene))
    await catalog.store(attempt)
    await catalog.status(job.id, "stitching")


async def test_a_scene_that_fails_for_good_fails_the_job_and_stops_what_is_not_paid(
    catalog: RunningCatalog,
) -> None:
    job = await approved(catalog)
    first, second = (scene.generation_id for scene in job.scenes)
    await catalog.fail(await catalog.submitted(first))
    shown = await catalog.status(job.id, "failed")
    assert shown.error.message == "scene 1: E005 at the provider"
    await catalog.stage(second, "canceled")
    assert (await catalog.begin(second)).reason == "canceled"


async def test_canceling_a_job_stops_everything_it_runs(catalog: RunningCatalog) -> None:
    job = await approved(catalog)
    first, second = (scene.generation_id for scene in job.scenes)
    attempt = await catalog.submitted(first)
    shown = await catalog.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=job.id))
    assert shown.status == jobs_pb2.JOB_STATUS_CANCELED
    await catalog.stage(second, "canceled")
    (requested,) = await catalog.published("generation.cancel_requested.>")
    assert requested.key == f"replicate.{first}"
    assert (await catalog.begin(first)).attempt.cancel_requested
    message = events_pb2.PredictionCanceled(prediction=catalog.ref(attempt), cost_micros=5000)
    await catalog.publish("prediction.canceled", first, message)
    assert (await catalog.stage(first, "canceled")).cost_cents == 0.5


async def test_a_paused_job_submits_nothing_and_a_resumed_one_is_requested_again(
    catalog: RunningCatalog,
) -> None:
    job = await approved(catalog)
    await catalog.published("generation.requested.>", 3)
    first = job.scenes[0].generation_id
    await catalog.submitted(first)
    await catalog.jobs.PauseJob(jobs_pb2.PauseJobRequest(id=job.id))
    waits = job.scenes[1].generation_id
    work = await catalog.begin(waits)
    assert (work.next_step, work.reason) == (attempts_pb2.NEXT_STEP_NOTHING, "paused")
    assert (await catalog.begin(first)).next_step == attempts_pb2.NEXT_STEP_FOLLOW
    shown = await catalog.jobs.ResumeJob(jobs_pb2.ResumeJobRequest(id=job.id))
    assert not shown.paused
    requested = (await catalog.published("generation.requested.>", 5))[3:]
    assert {each.key.removeprefix("replicate.") for each in requested} == {
        waits,
        job.edit.music.generation_id,
    }


async def test_stalled_work_is_requested_with_the_next_round_and_less_and_less_often(
    sqlite_database: str, nats: NatsFixture
) -> None:
    clock = SimulatedClock.running()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        made = await catalog.generation()
        await catalog.submitted(made.id)
        seconds_until_requested = []
        for _ in range(3):
            waited = 0
            while not (await catalog.service.reconciler.run_once()).any:
                clock.advance(10)
                waited += 10
            seconds_until_requested.append(waited)
        assert seconds_until_requested == [60, 120, 240]
        rounds = [
            e.message(events_pb2.GenerationRequested).round
            for e in await catalog.published("generation.requested.>", 4)
        ]
        assert rounds == [1, 2, 3, 4]
        assert (await catalog.begin(made.id)).next_step == attempts_pb2.NEXT_STEP_FOLLOW


async def test_a_stalled_stitch_is_requested_again_and_a_paused_job_is_left_alone(
    sqlite_database: str, nats: NatsFixture
) -> None:
    clock = SimulatedClock.running()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        paused = await approved(catalog, scene_count=1, music=None)
        await catalog.jobs.PauseJob(jobs_pb2.PauseJobRequest(id=paused.id))
        job = await approved(catalog, scene_count=1, music=None)
        await catalog.made(job.scenes[0].generation_id)
        await catalog.status(job.id, "stitching")
        clock.advance(61)
        requested = await catalog.service.reconciler.run_once()
        assert (requested.jobs, requested.generations) == (1, 0)
        first, second = await catalog.published("stitch.requested.>", 2)
        assert (first.id, second.id) == (f"{job.id}:requested:v1:1", f"{job.id}:requested:v1:2")


async def test_what_was_committed_is_published_after_a_crash(sqlite_database: str, nats: NatsFixture) -> None:
    """The process dies between the transaction and the publishing: the next one publishes."""
    settings = settings_for(sqlite_database, str(nats), "127.0.0.1:1")
    dying = compose(settings, SystemClock())
    await dying.parts[0].start()  # the database, and nothing else: no relay ever runs
    async with dying.database.write() as unit:
        created = create_generation(SystemClock().now(), new_id("generation"), RUN)
        made = await unit.generations.save(None, created)
    for part in reversed(dying.parts):
        await part.stop()
    async with running(sqlite_database, nats) as catalog:
        (requested,) = await catalog.published("generation.requested.>")
        assert requested.key == f"replicate.{made.id}"
        assert (await catalog.get(made.id)).stage == generations_pb2.GENERATION_STAGE_REQUESTED


async def test_a_running_catalog_alarms_before_a_lost_output_expires(
    sqlite_database: str, nats: NatsFixture
) -> None:
    clock, often = SimulatedClock.running(), timedelta(seconds=0.05)
    async with running(sqlite_database, nats, clock=clock, reconcile_every=often) as catalog:
        attempt = await catalog.submitted((await catalog.generation()).id)
        await catalog.succeed(attempt)
        await catalog.lose(attempt, retryable=False, life=3600)
        await catalog.stage(attempt.generation_id, "failed")
        before = OUTPUTS_AT_RISK._value.get()
        clock.advance(51 * 60)
        await eventually(lambda: OUTPUTS_AT_RISK._value.get() == before + 1)


async def test_an_attempt_has_the_round_in_which_its_generation_was_requested_last(
    catalog: RunningCatalog,
) -> None:
    made = await catalog.generation()
    attempt = await catalog.submitted(made.id)
    assert attempt.round == 1
    await catalog.fail(attempt, "E6716", retryable=True, wait=0.01)
    await catalog.published("generation.requested.>", 2)
    shown = await catalog.attempts.GetAttempt(attempts_pb2.GetAttemptRequest(id=attempt.id))
    assert (shown.number, shown.round) == (1, 2)


@pytest.mark.usefixtures("rows_by_hand")
async def test_a_generation_that_cannot_be_read_keeps_no_other_from_being_requested(
    sqlite_database: str, nats: NatsFixture
) -> None:
    clock = SimulatedClock.running()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        made = [await catalog.generation() for _ in range(3)]
        broken_id = made[0].id
        engine = catalog.service.database._writing
        async with engine.begin() as connection:
            broken = update(tables.generations).where(tables.generations.c.id == broken_id)
            await connection.execute(broken.values(stage="nowhere"))
        clock.advance(61)
        requested = await catalog.service.reconciler.run_once()
        assert requested.generations == 2
        assert [each.id for each in requested.failed] == [broken_id]
        again = await catalog.service.reconciler.run_once()
        assert not again.any
        assert not again.failed, "it is looked at again when the others had their turn"


async def test_whoever_finds_an_intent_learns_how_old_it_is(sqlite_database: str, nats: NatsFixture) -> None:
    clock = SimulatedClock.running()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        made = await catalog.generation()
        assert (await catalog.begin(made.id)).intent_age_s < 5
        clock.advance(100)
        found = await catalog.begin(made.id)
        assert found.next_step == attempts_pb2.NEXT_STEP_RECONCILE
        assert 100 <= found.intent_age_s < 105
        done = await catalog.generation()
        await catalog.made(done.id)
        await catalog.stage(done.id, "completed")
        assert not (await catalog.begin(done.id)).HasField("intent_age_s")


async def test_the_attempt_to_stop_is_the_one_that_holds_money(catalog: RunningCatalog) -> None:
    """A prediction of an attempt that was given up turns up when another has done the work."""
    made = await catalog.generation()
    first = (await catalog.begin(made.id)).attempt
    await catalog.attempts.ReleaseAttempt(
        attempts_pb2.ReleaseAttemptRequest(
            attempt_id=first.id, error=common_pb2.Error(code="never_sent", message="x", retryable=True)
        )
    )
    second = await catalog.submitted(made.id)
    await catalog.succeed(second)
    await catalog.store(second)
    await catalog.stage(made.id, "completed")
    await catalog.attempts.RecordSubmitted(
        attempts_pb2.RecordSubmittedRequest(attempt_id=first.id, prediction_id="late")
    )
    await catalog.published("generation.cancel_requested.>")
    found = await catalog.attempts.FindAttempt(attempts_pb2.FindAttemptRequest(generation_id=made.id))
    assert (found.id, found.prediction_id, found.cancel_requested) == (first.id, "late", True)
