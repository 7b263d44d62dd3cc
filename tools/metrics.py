"""Lists every metric of ours that the services export, as their modules declare it."""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import grimp
from prometheus_client.metrics import MetricWrapperBase

from tools.services import SERVICES

LIBRARIES = ("servicekit", "events", "mediakit")

LABELS = {
    "code": "gRPC's name of a status, such as `NOT_FOUND`",
    "consumer": "a durable consumer, by its name in [flow.md](flow.md)",
    "event": "what the generator notes, by its name in the code, such as `provider_limited`",
    "kind": "of media: `video`, `image`, `audio` or `unknown`; of a dead letter: the kind of its error",
    "method": "an HTTP method, or `other`; the full name of an RPC, or `unmatched`",
    "model": "`owner/name` of a model that was run here: one that is never run has no series",
    "outcome": "`completed`, `failed` or `canceled`; of a delivery: `done`, `already_done`, `later`, "
    "`ignored`, `given_back` or `dead_letter`",
    "part": "`spent`, `reserved` or `cap`",
    "provider": "`replicate`",
    "record": "`generations`, `jobs`, `drafts` or `downloads`",
    "route": "the template of a path, such as `/api/v3/jobs/{id}`, or `unmatched`",
    "state": "`pending` or `unacknowledged`",
    "status": "an HTTP status",
    "type": "a type of events that the consumer handles, or `other`",
}
"""Each label, and its values: a closed set, so that what clients send makes no new series."""


@dataclass(frozen=True)
class MetricFamily:
    """One metric as it is scraped, and the services that export it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    services: tuple[str, ...]


@cache
def metric_families() -> tuple[MetricFamily, ...]:
    """Every metric that a module of a service declares, or one that the service imports; by name."""
    exported: dict[MetricWrapperBase, list[str]] = defaultdict(list)
    for service in SERVICES:
        importlib.import_module(f"{service}.main")
    importlib.import_module("servicekit.process.main")
    graph = grimp.build_graph(*LIBRARIES, *SERVICES, cache_dir=None)
    for service in SERVICES:
        for metric in set(_declared(graph.find_upstream_modules(f"{service}.__main__"))):
            exported[metric].append(service)
    families = (_family(metric, services) for metric, services in exported.items())
    return tuple(sorted(families, key=lambda family: family.name))


def _declared(modules: set[str]) -> Iterator[MetricWrapperBase]:
    for name in modules:
        for value in vars(sys.modules[name]).values() if name in sys.modules else ():
            if isinstance(value, MetricWrapperBase):
                yield value


def _family(metric: MetricWrapperBase, services: list[str]) -> MetricFamily:
    (described,) = metric.describe()
    suffix = "_total" if described.type == "counter" else ""
    # The library tells the names of labels to nobody.
    labels = tuple(metric._labelnames)  # noqa: SLF001
    return MetricFamily(
        described.name + suffix, described.type, labels, described.documentation, tuple(services)
    )
