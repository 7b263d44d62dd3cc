"""R8: every service, the log and the store restarted under load: what fails, is lost, or is done twice."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.measure import Line, Scale
from bench.rolling.clients import Pace
from bench.rolling.replicas import STOP_WITHIN_S
from bench.rolling.trial import POD_AWAY_S, Outcome, everything, trial, upgrade

PACE, QUICK_PACE = Pace(jobs=2, generations=2, scenes=2), Pace(jobs=1, generations=1, scenes=1)

NOTE = (
    "R8: two replicas of each service on PostgreSQL, one NATS, one S3 store, one sandbox, as processes. A "
    "new replica starts on a port of its own and reports `ready`; then an old one gets SIGTERM; callers know "
    "three addresses of each service. First each service by itself, then all of them at once, then NATS, "
    f"then the store, each of which is away for {POD_AWAY_S:g} s. Clients use all gateways in turn, over "
    "connections that stay open, and learn by a refused connection that one has gone. "
    f"{PACE.jobs} jobs of {PACE.scenes} scenes with music and {PACE.generations} generations are under way "
    "all the time, the job list and ranges of a cut are read ten times a second each, and one client follows "
    "all events."
)
REPEATED_NOTE = (
    "R8, repeated: a GET after any error that may pass, a POST only when nobody could be connected to. "
    "Everything else counts as failed."
)
LOST_NOTE = (
    "R8, lost: what the outbox holds, or a record says, and the log has not; dead letters; what the follower "
    "has not seen. Doubled: an id twice in the log, more than one media of a generation, more than one end "
    "of it or of its job, predictions beyond their intent, charges beyond their prediction, an event seen "
    "twice."
)
GAP_NOTE = "R8, gap: between two answers of one reader; of the follower from the end of a stream to the next."
STOP_NOTE = f"R8, stop: from SIGTERM to the end of the process. After {STOP_WITHIN_S:g} s it would be killed."


async def measure(scale: Scale) -> list[Line]:
    """Lines that are judged first, then those that inform."""
    restarts = upgrade if scale.quick else everything
    with tempfile.TemporaryDirectory(prefix="rushes-bench-", ignore_cleanup_errors=True) as folder:
        outcome = await trial(Path(folder), QUICK_PACE if scale.quick else PACE, restarts, replicas=2)
    return [*_judged(outcome, scale), *_informing(outcome)]


def _judged(outcome: Outcome, scale: Scale) -> list[Line]:
    load, found = outcome.load, outcome.found
    requested = f"{len(load.jobs)} jobs and {len(load.generations)} generations"
    counted = (
        (f"of {load.client.tally.sent:,} requests, failed", load.client.tally.failed, REPEATED_NOTE),
        ("answers that are not what was requested", load.wrong, NOTE),
        (f"of {requested}, not completed", outcome.unfinished, NOTE),
        (f"of {found.events:,} events, lost", found.lost, LOST_NOTE),
        ("done, paid or seen twice", found.doubled, LOST_NOTE),
        (f"of {found.cuts} cuts, do not play", found.unplayable, NOTE),
        (f"of {len(outcome.restarts)} restarts, not ended in order", outcome.killed, STOP_NOTE),
    )
    for _, problems, _ in counted:
        for problem in problems[:10]:
            print(f"R8: {problem}", file=sys.stderr)
    return [
        Line("R8", what, "", [len(problems)], bar="0", holds=None if scale.quick else not problems, note=note)
        for what, problems, note in counted
    ]


def _informing(outcome: Outcome) -> list[Line]:
    load = outcome.load
    repeated = load.client.tally.repeated
    gaps = {name: gap.longest for name, gap in load.gaps.items()}
    gaps["live events"] = load.subscriber.longest_gap
    lines = [
        *(Line("R8", f"repeated: {why}", "", [times], note=REPEATED_NOTE) for why, times in repeated.items()),
        *(Line("R8", f"longest gap: {name}", "s", [gap], note=GAP_NOTE) for name, gap in gaps.items()),
    ]
    for what in dict.fromkeys(each.what for each in outcome.restarts):
        restarts = [each for each in outcome.restarts if each.what == what]
        stops, starts = [each.stop_s for each in restarts], [each.start_s for each in restarts]
        lines.append(Line("R8", f"stop: {what}", "s", stops, note=STOP_NOTE))
        lines.append(Line("R8", f"start until ready: {what}", "s", starts, note=NOTE))
    return lines
