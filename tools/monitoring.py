"""Writes alert rules and the dashboard, as Prometheus and Grafana read them, from the lists of both."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MONITORING, COMPONENTS = ROOT / "deploy/monitoring", ROOT / "deploy/k8s/components"
RUNBOOK = "docs/operations.md"

_WRITTEN = "# Written by `make docs` from deploy/monitoring/alerts.toml.\n"
_COLUMNS, _HEIGHT, _PANELS_IN_A_ROW = 24, 8, 3


@dataclass(frozen=True)
class Alert:
    """One alert, as alerts.toml explains."""

    name: str
    severity: str
    expr: str
    lasts: str
    panel: str
    summary: str

    @property
    def runbook(self) -> str:
        """Where it is explained what to do."""
        return f"{RUNBOOK}#{self.name.lower()}"


@dataclass(frozen=True)
class Panel:
    """One panel of the dashboard, as dashboard.toml explains; `queries`: pairs of expression and legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def alerts() -> tuple[Alert, ...]:
    """Every alert, in the order of the list."""
    listed = tomllib.loads((MONITORING / "alerts.toml").read_text())["alert"]
    return tuple(Alert(lasts=each.pop("for"), **{**each, "expr": each["expr"].strip()}) for each in listed)


def dashboard_rows() -> tuple[tuple[str, tuple[Panel, ...]], ...]:
    """The rows of the dashboard: the title of each, and its panels."""
    listed = tomllib.loads((MONITORING / "dashboard.toml").read_text())["row"]
    return tuple(
        (row["title"], tuple(Panel(**{**each, "queries": _pairs(each)}) for each in row["panel"]))
        for row in listed
    )


def written() -> Iterator[tuple[Path, str]]:
    """Each file, and what it should be."""
    groups = rule_groups()
    yield MONITORING / "rules.yaml", _WRITTEN + _yaml({"groups": groups})
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "rushes", "labels": {"app.kubernetes.io/part-of": "rushes"}},
        "spec": {"groups": groups},
    }
    yield COMPONENTS / "prometheus/rules.yaml", _WRITTEN + _yaml(rule)
    yield COMPONENTS / "grafana/rushes.json", json.dumps(dashboard(), indent=2) + "\n"


def rule_groups() -> list[dict[str, Any]]:
    """The alerts as Prometheus reads them."""
    rules = [
        {
            "alert": each.name,
            "expr": each.expr,
            "for": each.lasts,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.summary, "runbook": each.runbook},
        }
        for each in alerts()
    ]
    return [{"name": "rushes", "rules": rules}]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in dashboard_rows():
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        width = _COLUMNS // min(len(row), _PANELS_IN_A_ROW)
        for number, panel in enumerate(row):
            line, column = divmod(number, _PANELS_IN_A_ROW)
            place = {"x": column * width, "y": top + 1 + line * _HEIGHT, "w": width, "h": _HEIGHT}
            panels.append({**_panel(panel), "gridPos": place})
        top += 1 + -(-len(row) // _PANELS_IN_A_ROW) * _HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    return {
        "uid": "rushes",
        "title": "Rushes",
        "tags": ["rushes"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            ]
        },
        "panels": panels,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    drawn = {"custom": {"fillOpacity": 10, "showPoints": "never"}} if panel.kind == "timeseries" else {}
    shown = {
        "type": panel.kind,
        "title": panel.title,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **drawn}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": source, "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(panel.queries)
        ],
    }
    if here := [each for each in alerts() if each.panel == panel.title]:
        shown["description"] = "\n\n".join(f"{each.name} ({each.severity}): {each.runbook}" for each in here)
    return shown


def _pairs(panel: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((expr, legend) for expr, legend in panel["queries"])


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
