"""What the services count has names with units, help, and labels whose values are a closed set."""

from __future__ import annotations

from prometheus_client import REGISTRY

from tools.metrics import LABELS, MetricFamily, metric_families

UNITS = ("seconds", "bytes", "dollars")
COUNTED = ("blobs", "events", "generations")


def test_every_metric_has_a_name_with_its_unit_and_says_what_it_means() -> None:
    assert [family.name for family in metric_families() if not is_well_named(family)] == []


def is_well_named(family: MetricFamily) -> bool:
    first, *words = family.name.split("_")
    match family.type:
        case "counter":
            has_unit = words[-1] == "total"
        case "histogram":
            has_unit = words[-1] in UNITS
        case _:
            is_state = family.help.startswith("1 while ")
            has_unit = words[-1] in UNITS or bool(set(words) & set(COUNTED)) or is_state
    return first == "rushes" and has_unit and len(family.help) > 10


def test_every_label_is_declared_with_its_values() -> None:
    assert {label for family in metric_families() for label in family.labels} == set(LABELS)


def test_nothing_is_counted_that_is_not_listed() -> None:
    listed = {family.name.removesuffix("_total") for family in metric_families()}
    counted = {metric.name for metric in REGISTRY.collect()}
    assert {name for name in counted if not name.startswith(("python_", "process_"))} == listed
