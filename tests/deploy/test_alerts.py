"""Each alert fires when it should and at no other time, reads metrics that are there, and has a runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.metrics import metric_families
from tools.monitoring import MONITORING, RUNBOOK, alerts, dashboard_rows

ROOT = Path(__file__).resolve().parents[2]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not on the path: it comes with Prometheus (Debian: prometheus)"
)

ALERTS = {alert.name: alert for alert in alerts()}
GIVEN_BY_SCRAPING = {"job", "service", "instance", "le"}
SERVICES = ("catalog", "downloader", "gateway", "generator", "stitcher")


@dataclass(frozen=True)
class Case:
    """Series, one sample a minute as promtool writes them, and whether the alert fires at a minute.

    Args:
        fires: the labels that it fires with, beside its severity; None: it does not.
        says: its summary then.
    """

    alert: str
    series: dict[str, str]
    at: int
    fires: dict[str, str] | None = None
    says: str = ""


def up(**values: str) -> dict[str, str]:
    """One replica of each service, up unless said otherwise; "none": it is not even known."""
    return {
        f'up{{job="rushes",service="{name}",instance="{name}:9090"}}': values.get(name, "1+0x60")
        for name in SERVICES
        if values.get(name) != "none"
    }


def http(bad: str, good: str = "0+600x60") -> dict[str, str]:
    return {
        'rushes_http_requests_total{route="/api/v3/jobs",method="GET",status="200"}': good,
        'rushes_http_requests_total{route="/api/v3/jobs",method="GET",status="503"}': bad,
        'rushes_http_requests_total{route="/readyz",method="GET",status="503"}': "0+600x60",
    }


def rpc(bad: str, good: str = "0+600x60") -> dict[str, str]:
    job = 'service="catalog",method="/rushes.catalog.v1.JobService/GetJob"'
    return {
        f'rushes_rpc_requests_total{{{job},code="OK"}}': good,
        f'rushes_rpc_requests_total{{{job},code="NOT_FOUND"}}': "0+600x60",
        f'rushes_rpc_requests_total{{{job},code="UNAVAILABLE"}}': bad,
    }


def ended(failed: str, completed: str = "0+1x120") -> dict[str, str]:
    return {
        'rushes_generations_ended_total{kind="video",outcome="failed"}': failed,
        'rushes_generations_ended_total{kind="video",outcome="completed"}': completed,
        'rushes_generations_ended_total{kind="video",outcome="canceled"}': "0+50x120",
    }


def waiting(pending: str, done: str = "0+1x120") -> dict[str, str]:
    lag, handled = "rushes_consumer_lag_events", "rushes_events_handled_total"
    own = 'consumer="stitcher-cuts"'
    return {
        f'{lag}{{{own},state="pending",instance="a"}}': pending,
        f'{lag}{{{own},state="pending",instance="b"}}': pending,
        f'{lag}{{{own},state="unacknowledged",instance="a"}}': "4+0x120",
        f'{handled}{{{own},type="stitch.requested",outcome="done"}}': done,
        f'{handled}{{{own},type="stitch.requested",outcome="later"}}': "0+1x120",
    }


def dead_letters(values: str) -> dict[str, str]:
    return {'rushes_dead_letters_total{consumer="stitcher-cuts",kind="invalid"}': values}


def budget(spent: str, reserved: str, cap: str = "10+0x30") -> dict[str, str]:
    parts = {"spent": spent, "reserved": reserved, "cap": cap}
    return {
        f'rushes_day_budget_dollars{{part="{part}",instance="{replica}"}}': values
        for part, values in parts.items()
        for replica in ("a", "b")
        if values
    }


CONSUMER = {"consumer": "stitcher-cuts"}
CASES = [
    Case("RushesServiceDown", up(), 30),
    Case("RushesServiceDown", up(stitcher="1+0x10 0+0x1 1+0x40"), 11),
    Case(
        "RushesServiceDown",
        up(stitcher="1+0x10 0+0x40"),
        20,
        {"service": "stitcher"},
        "No replica of stitcher is up.",
    ),
    Case(
        "RushesServiceDown",
        up(gateway="none"),
        20,
        {"job": "rushes", "service": "gateway"},
        "No replica of gateway is up.",
    ),
    Case("RushesReplicaDown", up(catalog="0+0x5 1+0x50"), 30),
    Case(
        "RushesReplicaDown",
        up(catalog="0+0x60"),
        30,
        {"job": "rushes", "service": "catalog", "instance": "catalog:9090"},
        "catalog at catalog:9090 has not answered for 10 minutes.",
    ),
    Case("RushesNotReady", {'rushes_ready{service="catalog",instance="a"}': "1+0x5 0+0x2 1+0x20"}, 8),
    Case(
        "RushesNotReady",
        {'rushes_ready{service="catalog",instance="a"}': "1+0x5 0+0x20"},
        12,
        {"service": "catalog", "instance": "a"},
        "catalog at a lacks something that it needs for its work.",
    ),
    Case("RushesHttpErrors", http("0+6x60"), 30),
    Case("RushesHttpErrors", http("0+0x10 1+0x50", good="0+0.1x60"), 14),
    Case("RushesHttpErrors", http("0+200x60"), 30, {}, "25% of the HTTP requests end with a 5xx."),
    Case("RushesGrpcErrors", rpc("0+6x60"), 30),
    Case(
        "RushesGrpcErrors",
        rpc("0+400x60"),
        30,
        {"service": "catalog"},
        "25% of the calls to catalog fail for reasons of ours.",
    ),
    Case("RushesOutputsAtRisk", {"rushes_outputs_at_risk_total": "3+0x60"}, 30),
    Case(
        "RushesOutputsAtRisk",
        {"rushes_outputs_at_risk_total": "0+0x20 1+0x60"},
        25,
        {},
        "Paid outputs are not stored, and the provider deletes them within ten minutes.",
    ),
    Case("RushesOutputsLost", {"rushes_outputs_lost_total": "2+0x90"}, 80),
    Case(
        "RushesOutputsLost",
        {"rushes_outputs_lost_total": "0+0x20 1+0x60"},
        30,
        {},
        "The provider has deleted paid outputs before they were stored.",
    ),
    Case("RushesBlobsMissing", {"rushes_blobs_missing": "0+0x60"}, 30),
    Case(
        "RushesBlobsMissing",
        {"rushes_blobs_missing": "0+0x10 3+0x60"},
        30,
        {},
        "3 records name a blob that is not in the store.",
    ),
    Case("RushesBreakerOpen", {'rushes_provider_breaker_open{provider="replicate"}': "0+0x60"}, 30),
    Case(
        "RushesBreakerOpen",
        {
            'rushes_provider_breaker_open{provider="replicate",instance="a"}': "0+0x10 1+0x20",
            'rushes_provider_breaker_open{provider="replicate",instance="b"}': "0+0x30",
        },
        12,
        {"provider": "replicate"},
        "The provider refuses our account: nothing is submitted.",
    ),
    Case(
        "RushesProviderBlocked",
        {'rushes_provider_blocked_seconds{provider="replicate"}': "0+0x20 9+0x5 0+0x9"},
        28,
    ),
    Case(
        "RushesProviderBlocked",
        {'rushes_provider_blocked_seconds{provider="replicate"}': "0+0x9 " + "9 9 0 " * 6 + "9"},
        28,
        {"provider": "replicate"},
        "The provider has kept us waiting (429) for most of a quarter of an hour.",
    ),
    Case("RushesGenerationsFail", ended("0+0.1x120"), 80),
    Case("RushesGenerationsFail", ended("0+0x20 2+0x80", completed="0+0x120"), 30),
    Case(
        "RushesGenerationsFail",
        ended("0+1x120"),
        80,
        {},
        "50% of the generations of the last hour have failed.",
    ),
    Case("RushesWorkStalls", {'rushes_stalled_work_total{record="generations"}': "0+9x60"}, 30),
    Case("RushesWorkStalls", {'rushes_stalled_work_total{record="jobs"}': "0+0x20 1+0x60"}, 30),
    Case(
        "RushesWorkStalls",
        {'rushes_stalled_work_total{record="jobs"}': "0+1x60"},
        30,
        {},
        "Cuts or plans wait for longer than STALLED_AFTER_S, again and again.",
    ),
    Case("RushesEventLogAway", {'rushes_event_log_away{service="catalog"}': "0+0x9 1+0x0 0+0x60"}, 10),
    Case(
        "RushesEventLogAway",
        {'rushes_event_log_away{service="catalog"}': "0+0x9 1+0x60"},
        15,
        {"service": "catalog"},
        "catalog has no connection to the event log.",
    ),
    Case("RushesEventLogRefuses", {'rushes_event_log_refusing{service="catalog"}': "0+0x60"}, 30),
    Case(
        "RushesEventLogRefuses",
        {'rushes_event_log_refusing{service="catalog"}': "0+0x9 1+0x60"},
        15,
        {"service": "catalog"},
        "The event log stores nothing that catalog publishes.",
    ),
    Case("RushesOutboxOld", {"rushes_outbox_oldest_seconds": "0+0x9 70+0x0 0+0x60"}, 10),
    Case(
        "RushesOutboxOld",
        {"rushes_outbox_oldest_seconds": "0+0x9 0+60x60"},
        15,
        {},
        "What was committed 5m 0s ago is not in the event log yet.",
    ),
    Case("RushesOutboxRefused", {"rushes_outbox_refused_total": "5+0x200"}, 180),
    Case(
        "RushesOutboxRefused",
        {"rushes_outbox_refused_total": "0+0x20 1+0x60"},
        30,
        {},
        "The event log refuses an event as it is, which waits for somebody to look at it.",
    ),
    Case("RushesConsumerLagGrows", waiting("500-2x60"), 40),
    Case("RushesConsumerLagGrows", waiting("0+1x60"), 60),
    Case(
        "RushesConsumerLagGrows",
        waiting("100+5x60"),
        40,
        CONSUMER,
        "stitcher-cuts falls behind: events come faster than it handles them.",
    ),
    Case("RushesConsumerStuck", waiting("9+0x120"), 100),
    Case("RushesConsumerStuck", waiting("0+0x120", done="7+0x120"), 100),
    Case(
        "RushesConsumerStuck",
        waiting("9+0x120", done="7+0x120"),
        100,
        CONSUMER,
        "Events wait for stitcher-cuts, and it has not been done with any for half an hour.",
    ),
    Case(
        "RushesDeadLetters",
        {'rushes_dead_letters_total{consumer="stitcher-cuts",kind="invalid"}': "4+0x90"},
        80,
    ),
    Case(
        "RushesDeadLetters",
        {'rushes_dead_letters_total{consumer="stitcher-cuts",kind="invalid"}': "0+0x20 1+0x60"},
        30,
        CONSUMER,
        "stitcher-cuts gave events up.",
    ),
    Case("RushesBudgetNearlySpent", budget("5+0x30", "3+0x30"), 20),
    Case("RushesBudgetNearlySpent", budget("500+0x30", "3+0x30", cap=""), 20),
    Case(
        "RushesBudgetNearlySpent",
        budget("5+0x30", "4.5+0x30"),
        20,
        {},
        "95% of the day's budget is spent or reserved.",
    ),
]


@needs_promtool
@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_when_it_should_and_at_no_other_time(name: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == name]
    assert {case.fires is None for case in cases} == {True, False}, "one that fires, and one that does not"
    rules = {"rule_files": [str(MONITORING / "rules.yaml")], "evaluation_interval": "1m"}
    (tmp_path / "test.yaml").write_text(json.dumps({**rules, "tests": [_test(case) for case in cases]}))
    _promtool("test", "rules", tmp_path / "test.yaml")


def _test(case: Case) -> dict[str, Any]:
    alert = ALERTS[case.alert]
    fires = {
        "exp_labels": {"severity": alert.severity, **(case.fires or {})},
        "exp_annotations": {"summary": case.says, "runbook": alert.runbook},
    }
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{case.at}m",
                "alertname": case.alert,
                "exp_alerts": [] if case.fires is None else [fires],
            }
        ],
    }


@needs_promtool
def test_prometheus_reads_the_rules_and_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    queries = [expr.replace("$__rate_interval", "5m") for _, expr in _expressions()]
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    _promtool("check", "rules", MONITORING / "rules.yaml", tmp_path / "queries.yaml")


def test_every_expression_asks_for_metrics_and_labels_that_are_there() -> None:
    labels = {family.name: {*family.labels} for family in metric_families()}
    labels |= {
        f"{family.name}_{part}": {*family.labels}
        for family in metric_families()
        if family.type == "histogram"
        for part in ("bucket", "sum", "count")
    }
    wrong = [
        f"{where}: {name}{{{matchers}}}"
        for where, expr in _expressions()
        for name, matchers in re.findall(r"\b(rushes_\w+)(?:\{([^}]*)\})?", expr)
        if name not in labels
        or not set(re.findall(r"(\w+)\s*[=!]~?\"", matchers)) <= labels[name] | GIVEN_BY_SCRAPING
    ]
    assert not wrong


def test_every_metric_is_watched_or_shown() -> None:
    used = {name for _, expr in _expressions() for name in re.findall(r"\brushes_\w+", expr)}
    used |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    assert not {family.name for family in metric_families()} - used


def test_every_alert_has_its_panel_and_its_entry_in_the_runbook() -> None:
    panels = [panel.title for _, row in dashboard_rows() for panel in row]
    assert len(panels) == len(set(panels))
    assert {alert.panel for alert in alerts()} <= set(panels)
    section = (ROOT / RUNBOOK).read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == list(ALERTS), "in the order of alerts.toml"
    for entry in section.split("\n### ")[1:]:
        assert re.findall(r"^- \*\*(\w+)\*\*: ", entry, re.MULTILINE) == ["Means", "Look", "Do"], entry


def test_the_runbook_names_panels_and_log_lines_that_are_there() -> None:
    section = (ROOT / RUNBOOK).read_text().partition("\n## Alerts\n")[2]
    titles = [panel.title for _, row in dashboard_rows() for panel in row]
    commands = re.findall(r"`([^`]+)`", section)
    for line in section.splitlines():
        if "panel" in line:
            for title in re.findall(r'"([^"]+)"', re.sub(r"`[^`]*`", "", line)):
                assert any(each.startswith(title) for each in titles), title
    sources = "\n".join(
        path.read_text()
        for folder in ("libs/servicekit/servicekit", *(f"services/{name}/{name}" for name in SERVICES))
        for path in (ROOT / folder).rglob("*.py")
    )
    logged = {
        text
        for command in commands
        if command.startswith("kubectl logs") and "nats" not in command
        for texts in re.findall(r"(?:grep|-e) '([^'\"]+)'|grep (\w+_\w+)", command)
        for text in texts
        if text
    }
    assert len(logged) > 8
    assert [text for text in logged if text not in sources] == []


def test_the_operators_rules_are_those_of_the_file() -> None:
    rule = yaml.safe_load((ROOT / "deploy/k8s/components/prometheus/rules.yaml").read_text())
    assert rule["spec"] == yaml.safe_load((MONITORING / "rules.yaml").read_text())


def _promtool(*arguments: str | Path) -> None:
    done = subprocess.run([str(PROMTOOL), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _expressions() -> Iterator[tuple[str, str]]:
    """Every expression, and whose it is."""
    for alert in alerts():
        yield alert.name, alert.expr
    for _, row in dashboard_rows():
        for panel in row:
            for expr, _ in panel.queries:
                yield panel.title, expr
