"""Defines the command line: reads arguments, runs one command, shows its error with an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from rushes_cli import output
from rushes_cli.commands import delete_data as delete_command
from rushes_cli.commands import demo as demo_command
from rushes_cli.commands import doctor as doctor_command
from rushes_cli.commands import events as events_command
from rushes_cli.commands import jobs as jobs_command
from rushes_cli.commands import rebuild as rebuild_command
from rushes_cli.commands import storage as storage_command
from rushes_cli.commands import up as up_command
from rushes_cli.data_folder import DataFolder, default_folder
from rushes_cli.errors import CommandError
from rushes_cli.stack.services import StackOptions, parse_replicas

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="The data folder of the stack [default: $RUSHES_DATA, or .rushes here].",
        show_default=False,
    ),
]


def _folder(data: Path | None) -> DataFolder:
    return DataFolder(data or default_folder(os.environ))


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its exit code: 130 for Ctrl-C, as shells have it."""
    try:
        code = asyncio.run(work)
    except CommandError as error:
        output.show_error(error)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    except BrokenPipeError as error:  # `rushes events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from error
    raise typer.Exit(code or 0)


def _version(wanted: bool) -> None:
    if wanted:
        output.line(f"rushes {metadata.version('rushes-cli')}")
        raise typer.Exit


@app.callback()
def rushes(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version, and end.")
    ] = False,
) -> None:
    """Photos and a brief in, a finished video advert out: no clip is lost, and none is paid for twice."""


@app.command()
def up(
    data: Data = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the REST interface; 0 takes a free one.")
    ] = 0,
    replicas: Annotated[
        list[str] | None,
        typer.Option("--replicas", metavar="SERVICE=N", help="Run a service N times; may be repeated."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
) -> None:
    """Start the whole system and keep it running.

    Restarts what dies; Ctrl-C drains and stops it.

    REPLICATE_API_TOKEN makes it use the real provider instead of the sandbox; NATS_URL, BLOB_ENDPOINT (with
    BLOB_ACCESS_KEY and BLOB_SECRET_KEY) and DATABASE_URL replace the embedded parts.
    """

    async def work() -> int:
        options = StackOptions(port, parse_replicas(replicas or [], os.environ), dict(os.environ))
        if detach:
            return await up_command.up_detached(_folder(data), options)
        return await up_command.up(_folder(data), options)

    _run(work())


@app.command()
def down(data: Data = None) -> None:
    """Stop a system that was left running, in order."""
    _run(up_command.down(_folder(data)))


@app.command("delete-data")
def delete_data(
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.", show_default=False)] = False,
) -> None:
    """Delete the data folder: records, keys, and every clip and cut in it. Not while a system runs on it."""

    def sure(question: str) -> bool:
        return yes or typer.confirm(question)

    _run(delete_command.delete_data(_folder(data), sure))


@app.command()
def rebuild(data: Data = None) -> None:
    """Make the database again, from the journal in the event log.

    For when the database is lost or damaged. The files of the old one are moved aside, never deleted; clips
    and cuts stay where they are. What was written in the last moments, and had not reached the log, is not in
    it. Not while a system runs on the folder.

    Exit code 1 when entries of some records are missing: it names them.

    With DATABASE_URL the database that it names is filled, which must be empty; NATS_URL names another log.
    """
    _run(rebuild_command.rebuild(_folder(data), dict(os.environ)))


@app.command()
def demo(
    photos_dir: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="A folder of your photos; the ones that are shipped when left out.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The video's file [default: rushes-demo.mp4 in the data folder].",
            show_default=False,
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, max=20, help="How many scenes.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, max=30, help="Length of a scene in seconds.")] = 4.0,
    within: Annotated[float, typer.Option(min=1, help="Seconds to wait for the video.")] = 900.0,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="URL",
            help="A system that runs elsewhere, instead of one on this machine; its API key is read from "
            "RUSHES_API_KEY.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Photos in, finished video out.

    Starts the system if it is not running, and does the main job once: upload, plan, approve, render, stitch.
    With REPLICATE_API_TOKEN set it approves real spending at the provider.
    """
    request = demo_command.DemoRequest(photos_dir, out, scenes, seconds, within, at)
    _run(demo_command.demo(_folder(data), request, dict(os.environ)))


@app.command()
def jobs(
    job_id: Annotated[
        str | None,
        typer.Argument(metavar="JOB", help="The id of one job, for all of it.", show_default=False),
    ] = None,
    data: Data = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="With the ids of generations.")] = False,
) -> None:
    """List the newest jobs, or show one in full.

    In full: its scenes, what happened to it, and the addresses of clips and cut.
    """
    _run(jobs_command.jobs(_folder(data), job_id, verbose=verbose))


@app.command()
def events(
    data: Data = None,
    job: Annotated[str, typer.Option("--job", help="Only events of this job.")] = "",
    types: Annotated[
        str, typer.Option("--types", help="Only these, as in job.completed,stitch.failed.")
    ] = "",
    after: Annotated[
        int | None,
        typer.Option(
            "--after", min=0, help="Start after this sequence; 0 is the beginning.", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="Go on with what comes, or end with what is there."),
    ] = True,
) -> None:
    """Read the event log, one line an event.

    From now on, until Ctrl-C; with --after 0 from its beginning. With --no-follow what is there now, from the
    beginning or from --after on.
    """
    _run(events_command.events(_folder(data), job=job, types=types, after=after, follow=follow))


storage_app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="What the stored files take, and clearing out what is old.\n\n"
    "Without a command: how much is stored of each kind, and the newest files.",
)
app.add_typer(storage_app, name="storage")


@storage_app.callback()
def storage(context: typer.Context, data: Data = None) -> None:
    """What the stored outputs and cuts take, by kind, and the newest of them."""
    if context.invoked_subcommand is None:
        _run(storage_command.storage(_folder(data)))


@storage_app.command()
def cleanup(
    older_than: Annotated[
        int, typer.Option("--older-than", min=1, max=36500, metavar="DAYS", help="Days since it ended.")
    ],
    data: Data = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.", show_default=False)
    ] = False,
) -> None:
    """Delete the generations and cuts that ended so long ago.

    Records and bytes; what they have cost stays in the books. Never what runs, nor what a running job needs.
    """
    _run(storage_command.cleanup(_folder(data), days=older_than, dry_run=dry_run))


@storage_app.command()
def check(
    data: Data = None,
    content: Annotated[
        bool,
        typer.Option("--content", help="Read every file, and compare its SHA-256.", show_default=False),
    ] = False,
) -> None:
    """Compare the store with the records.

    Shows records whose bytes are missing (exit code 1), and bytes that no record names, which the next sweep
    removes. With --content also files that are not what was stored (exit code 1).
    """
    _run(storage_command.check(_folder(data), content=content))


@app.command()
def doctor(data: Data = None) -> None:
    """What is missing or wrong, and the way out.

    Exit code 1 when something is.
    """
    _run(doctor_command.doctor(_folder(data), dict(os.environ)))
