"""docs/flow.md lists the consumers as they are."""

from __future__ import annotations

from catalog.edges import events as catalog
from downloader.config import Settings as DownloaderSettings
from downloader.edges import events as downloader
from events.topology import streams
from generator.edges import events as generator
from servicekit.config import describe
from servicekit.events import ConsumerSpec, EventLog
from stitcher.edges import events as stitcher
from tools.services import ROOT

PAGE = (ROOT / "docs" / "flow.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line
    ]
    return [row for row in cells if row[0].startswith("`")]


def test_the_consumers_are_those_of_the_page() -> None:
    listed = {name: (subjects_, service, limit) for name, subjects_, service, limit in rows("Consumers")}
    found = {
        f"`{spec.name}`": (f"`{' '.join(spec.subjects)}`", service, _limit(service, spec))
        for service, specs in _specs().items()
        for spec in specs
    }
    assert {name: row[:2] for name, row in listed.items()} == {name: row[:2] for name, row in found.items()}
    for name, (_, _, limit) in found.items():
        assert limit in listed[name][2], name


def _limit(service: str, spec: ConsumerSpec) -> str:
    if spec.name == "generator-replicate":
        return "`REPLICATE_MAX_CONCURRENCY`"
    return f"({spec.max_in_flight})" if spec.name == "downloader-outputs" else str(spec.max_in_flight)


def _specs() -> dict[str, list[ConsumerSpec]]:
    consumers = generator.consumers(
        EventLog("", service="", clock=None, streams=streams()),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        provider="replicate",
        concurrency=4,
    )
    in_flight = next(each.default for each in describe(DownloaderSettings) if each.env == "FETCH_IN_FLIGHT")
    return {
        "catalog": [catalog.PREDICTIONS, catalog.DOWNLOADS, catalog.STITCHES],
        "generator": [each._spec for each in consumers],
        "downloader": [
            downloader.outputs_consumer(int(in_flight)),
            downloader.REMOVALS,
        ],
        "stitcher": [stitcher.cuts_consumer(1), stitcher.thumbnails_consumer()],
    }
