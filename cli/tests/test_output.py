from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rushes_cli import output
from rushes_cli.commands.doctor import version_in
from rushes_cli.commands.events import summary
from rushes_cli.commands.storage import sum_of
from rushes_cli.errors import CommandError
from rushes_cli.main import app
from rushes_cli.output import money, size, with_names


def test_the_summary_of_an_event_has_its_ids_last_and_no_empty_fields() -> None:
    data = {
        "prediction": {"generation_id": "gen_1", "attempt_id": "att_1", "prediction_id": "p1", "round": 0},
        "progress": {"percent": 40.0, "message": "rendering"},
        "outputs": [{}, {}],
        "job_id": "job_1",
        "error": None,
    }
    assert summary(data) == (
        "percent=40.0 message=rendering outputs=2 "
        "job_id=job_1 generation_id=gen_1 attempt_id=att_1 prediction_id=p1"
    )


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("nats-server: v2.15.1", "2.15.1"),
        ("version 8000GB 4.48 pypi linux amd64", "4.48"),
        ("ffmpeg version n9.0.2-17-g2a571b6068-20260930 Copyright (c) 2000", "9.0.2-17-g2a571b6068-20260930"),
        ("built by hand", "built by hand"),
    ],
)
def test_versions_are_read_from_the_output_of_programs(line: str, version: str) -> None:
    assert version_in(line) == version


@given(st.floats(min_value=0, max_value=1e7, allow_nan=False))
def test_money_is_never_shown_as_nothing_when_it_is_something(cents: float) -> None:
    shown = money(cents)
    assert shown.startswith("$")
    if cents >= 0.01:
        assert float(shown[1:]) > 0


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**12, "5000.0 GB")],
)
def test_bytes_are_shown_in_a_readable_unit(count: int, shown: str) -> None:
    assert size(count) == shown


def test_a_text_with_brackets_is_shown_as_it_is() -> None:
    job = {
        "id": "job_1",
        "status": "failed",
        "error": {"code": "E1", "message": "no [red] paint"},
        "paused": False,
        "progress": None,
        "scenes": [],
        "cost_cents": 0,
        "created_at": "2026-01-01T12:00:00Z",
    }
    with output.console.capture() as printed:
        output.show_jobs([job])
        with output.LiveJob() as live:
            live.show(job, None)
    assert printed.get().count("E1: no [red] paint") == 2
    with output.error_console.capture() as printed:
        output.show_error(CommandError(f"Job failed: {output.now(job)}"))
    assert printed.get() == "Job failed: E1: no [red] paint\n"


def test_the_answers_of_a_long_clean_up_are_added_up() -> None:
    one = {
        "dry_run": False,
        "generations": 2,
        "files": 2,
        "size_bytes": 9,
        "by_kind": {"video": {"count": 2, "size_bytes": 9}},
        "ids": ["gen_1", "gen_2"],
        "more": True,
    }
    other = {
        **one,
        "by_kind": {"audio": {"count": 2, "size_bytes": 9}, "video": {"count": 1, "size_bytes": 1}},
        "ids": ["gen_3"],
        "more": False,
    }
    both = sum_of(one, other)
    assert (both["generations"], both["files"], both["size_bytes"], both["more"]) == (4, 4, 18, False)
    assert both["by_kind"] == {
        "video": {"count": 3, "size_bytes": 10},
        "audio": {"count": 2, "size_bytes": 9},
    }
    assert both["ids"] == ["gen_1", "gen_2", "gen_3"]


def test_a_timeline_names_scenes_and_music_and_no_ids() -> None:
    job = {
        "scenes": [
            {"position": 1, "generation_id": "gen_A"},
            {"position": 2, "generation_id": "gen_B"},
            {"position": 3, "generation_id": None},
        ],
        "edit": {"music": {"generation_id": "gen_C"}},
    }
    assert with_names(job, "gen_B (rushes/camera-move) is stored") == "scene 2 (rushes/camera-move) is stored"
    assert with_names(job, "gen_C (rushes/music-bed) was stopped") == "music (rushes/music-bed) was stopped"
    assert with_names({**job, "edit": {"music": None}}, "approved") == "approved"


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert re.fullmatch(r"rushes \d+\.\d+\.\d+\S*\n", result.output)
