"""Prints what people see: tables, the live bars of a job, errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from rushes_cli.data_folder import StackState
from rushes_cli.errors import CommandError
from rushes_cli.verify_content import DamagedFile

_WIDE = 240
"""Columns where there is no terminal: a program that reads the output needs unbroken lines."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
error_console = Console(stderr=True, highlight=False)


def line(text: str, *, to: Console | None = None, style: str | None = None) -> None:
    """Print a text as it is: unbroken, and nothing in it read as a style."""
    (to or console).print(text, style=style, markup=False, soft_wrap=True)


def show_error(error: CommandError) -> None:
    line(error.message, to=error_console, style="red")
    if error.way_out:
        line(error.way_out, to=error_console)


def show_stack(state: StackState, data: str) -> None:
    _show_table(
        ("service", "address", "process", "metrics"),
        ((p.name, p.address, str(p.pid), p.metrics.removeprefix("http://")) for p in state.processes),
    )
    lines = {
        "API": f"{state.gateway}/docs",
        "provider": state.provider,
        "key": f"in {data}/api-key (send it as X-API-Key)",
        "logs": f"{data}/logs",
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        line(f"{name:<{width}}  {value}")


def show_jobs(jobs: list[Mapping[str, Any]]) -> None:
    rows = (
        (
            job["id"],
            "paused" if job["paused"] else job["status"],
            f"{percent(job):.0f}",
            str(len(job["scenes"])),
            money(job["cost_cents"]),
            _moment(job["created_at"]),
            now(job),
        )
        for job in jobs
    )
    _show_table(("job", "status", "%", "scenes", "cost", "created", "now"), rows)


def show_job(job: Mapping[str, Any], base: str, *, verbose: bool = False) -> None:
    """`verbose`: with the ids of its generations."""
    show_jobs([job])
    rows = (
        (
            str(scene["position"]),
            scene["stage"],
            f"{scene['seconds']:g}",
            scene["model"],
            (scene["error"] or {}).get("message") or (base + scene["clip_url"] if scene["clip_url"] else ""),
        )
        for scene in job["scenes"]
    )
    _show_table(("scene", "stage", "seconds", "model", "clip or reason"), rows)
    for entry in job["timeline"]:
        text = entry["message"] if verbose else with_names(job, entry["message"])
        line(f"{_moment(entry['at'])}  {entry['type']:<24} {text}")
    if job["result"]:
        line(f"cut  {base}{job['result']['url']}")


def with_names(job: Mapping[str, Any], text: str) -> str:
    """A line of a job's timeline, with "scene 2" or "music" instead of the ids of generations."""
    names = {scene["generation_id"]: f"scene {scene['position']}" for scene in job["scenes"]}
    if music := (job["edit"] or {}).get("music"):
        names[music["generation_id"]] = "music"
    for generation_id, name in names.items():
        if generation_id:
            text = text.replace(generation_id, name)
    return text


def show_storage(stats: Mapping[str, Any]) -> None:
    _show_usage(stats["by_kind"])
    downloads = ", ".join(f"{count} {name}" for name, count in stats["downloads"].items())
    line(f"downloads  {downloads}")
    if stats["files"]:
        rows = (
            (each["id"], each["kind"], size(each["size_bytes"]), _moment(each["created_at"]), each["url"])
            for each in stats["files"]
        )
        _show_table(("file", "kind", "size", "created", "address"), rows)


def show_cleanup(done: Mapping[str, Any], days: int) -> None:
    ago = f"{days} day{'' if days == 1 else 's'} ago"
    if not done["generations"] and not done["files"]:
        line(f"Nothing ended more than {ago}.")
        return
    verb = "would be" if done["dry_run"] else "were"
    text = f"{done['generations']} generations and {done['files']} files {verb} deleted"
    line(f"{text}; they ended more than {ago}:")
    _show_usage(done["by_kind"])


def show_check(
    missing: list[Mapping[str, Any]], unneeded: list[Mapping[str, Any]], changed: Sequence[DamagedFile] = ()
) -> None:
    if not missing and not unneeded and not changed:
        line("Every record has its bytes, and every blob has its record.")
    if missing:
        _show_table(("file", "missing blob"), ((each["id"], each["blob_key"]) for each in missing))
    if changed:
        _show_table(("file", "address", "damage"), ((each.id, each.url, each.damage) for each in changed))
    if unneeded:
        rows = ((each["blob_key"], size(each["size_bytes"]), _moment(each["stored_at"])) for each in unneeded)
        _show_table(("blob without a record", "size", "created"), rows)
        line("The next sweep removes these.")


def size(count: int) -> str:
    """Bytes in a readable unit: `1.2 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit takes what is left")


def _show_usage(by_kind: Mapping[str, Any]) -> None:
    rows = [(kind, usage["count"], usage["size_bytes"]) for kind, usage in sorted(by_kind.items())]
    rows.append(("total", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    _show_table(("kind", "files", "size"), ((kind, str(count), size(used)) for kind, count, used in rows))


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Show what is being waited for: until it is done in a terminal, once elsewhere."""
    if not console.is_terminal:
        console.print(text)
        yield
        return
    with console.status(text):
        yield


class LiveJob:
    """Bars for a job's scenes, its music and its cut; lines where there is no terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>4.0f} %"),
            TextColumn("{task.fields[message]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}
        self._shown: dict[str, str] = {}

    def __enter__(self) -> LiveJob:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, name: str, percent_done: float, message: str) -> None:
        """Move one bar; where there is no terminal, print each new message once."""
        if not console.is_terminal:
            steady = message.split(":", maxsplit=1)[0]
            if self._shown.get(name) != steady:
                self._shown[name] = steady
                line(f"{name:<10} {percent_done:>4.0f} %  {message}")
            return
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=100.0, message="")
        self._progress.update(self._bars[name], completed=percent_done, message=_plain(message))

    def show(self, job: Mapping[str, Any], music: Mapping[str, Any] | None) -> None:
        """Move every bar of a job. `music`: the generation that composes its music, if there is one."""
        for scene in job["scenes"]:
            self._run(f"scene {scene['position']}", scene)
        if music is not None:
            self._run("music", music)
        done = job["status"] == "completed"
        if job["status"] in ("stitching", "completed", "failed"):
            doing = now(job)
            if job["status"] == "stitching":  # the bar has the percentage already
                doing = doing.rpartition(":")[0] or doing
            self.step("cut", 100.0 if done else percent(job), "stored" if done else doing)

    def _run(self, name: str, run: Mapping[str, Any]) -> None:
        text = run["progress"] or {}
        failed = f"failed: {run['error']['message']}" if run["error"] else ""
        self.step(name, text.get("percent", 0.0), failed or text.get("message") or str(run["stage"]))


def percent(job: Mapping[str, Any]) -> float:
    return float((job["progress"] or {}).get("percent", 0.0))


def now(job: Mapping[str, Any]) -> str:
    """What happens in a job now, or why it has failed."""
    if job["error"]:
        return f"{job['error']['code']}: {job['error']['message']}"
    return str((job["progress"] or {}).get("message", ""))


def money(cents: float) -> str:
    """In dollars: `$1.20`; with fractions of a cent for less than one."""
    return f"${cents / 100:.2f}" if cents >= 1 or cents == 0 else f"${cents / 100:.4f}"


_WHOLE = ("job", "service", "status", "stage", "cost", "created", "file", "kind", "files", "size")
"""Columns with words that people copy or compare: never folded."""


def _show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        table.add_row(*map(_plain, row))
    console.print(table)


def _moment(timestamp: str) -> str:
    """An RFC 3339 time for people: to the second, and in UTC as it is."""
    return timestamp[:19].replace("T", " ")


def _plain(text: str) -> str:
    """Escape what rich would read as a style."""
    return text.replace("[", r"\[")
