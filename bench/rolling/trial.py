"""One trial: a cluster under load is restarted piece by piece; answers all that was counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rolling.audit import Findings, audit
from bench.rolling.clients import Client, Load, Pace
from bench.rolling.replicas import ROLLED, Cluster, Restart, running_cluster
from rushes_cli.photo_files import copy_demo_photos

PHOTOS = 4

POD_AWAY_S = 5.0
"""Seconds that a pod takes which is there once, from its end until the next one has started."""
BREATH_S = 1.0
"""Seconds of load between two restarts of what is there once."""

Restarts = Callable[[Cluster], Awaitable[Sequence[Restart]]]
"""Restarts what a trial is about, and answers how that went."""


@dataclass(frozen=True)
class Outcome:
    """What happened, and what is not as it should be."""

    load: Load
    found: Findings
    restarts: Sequence[Restart]
    seconds: float

    @property
    def killed(self) -> list[str]:
        """Services of ours that did not end by themselves, or ended with an error."""
        return [str(each) for each in self.restarts if each.what in ROLLED and not each.in_order]

    @property
    def unfinished(self) -> list[str]:
        """Jobs and generations that did not complete."""
        ended = [*self.load.jobs, *self.load.generations]
        return self.load.late + [
            f"{each['id']} is {each['status']}: {each['error']}"
            for each in ended
            if each["status"] != "completed"
        ]


async def upgrade(cluster: Cluster, *, away_s: float = 0.0) -> list[Restart]:
    """All services at once, as when a new version of all of them is applied; then the log, then the store.

    Args:
        away_s: seconds that log and store stay away.
    """
    rolled = await asyncio.gather(*(cluster.roll(name) for name in ROLLED))
    restarts = [each for restarts in rolled for each in restarts]
    for restart in (cluster.restart_log, cluster.restart_store):
        restarts.append(await restart(away_s=away_s))
        await asyncio.sleep(BREATH_S)
    return restarts


async def everything(cluster: Cluster) -> list[Restart]:
    """Each service by itself, then an `upgrade`."""
    restarts: list[Restart] = []
    for name in ROLLED:
        restarts += await cluster.roll(name)
    return restarts + await upgrade(cluster, away_s=POD_AWAY_S)


async def trial(data: Path, pace: Pace, restarts: Restarts, *, replicas: int) -> Outcome:
    """Start everything on a fresh folder, restart under load, wait until all is final, and compare."""
    loop = asyncio.get_running_loop()
    async with running_cluster(data, replicas=replicas) as cluster:
        client = Client(cluster)
        try:
            photos = copy_demo_photos(data / "photos")[:PHOTOS]
            load = await Load.prepare(client, photos, pace)
            begun = loop.time()
            async with load.running():
                done = await restarts(cluster)
            seconds = loop.time() - begun
            found = await audit(cluster, client, load, scenes=pace.scenes)
        finally:
            await client.close()
    return Outcome(load, found, done, seconds)
