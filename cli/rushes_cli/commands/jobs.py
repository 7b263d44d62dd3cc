"""`rushes jobs`: the newest jobs, or one in full."""

from __future__ import annotations

from rushes_cli import view
from rushes_cli.commands.up import connect
from rushes_cli.folder import DataFolder


async def jobs(folder: DataFolder, job_id: str | None, *, verbose: bool = False) -> int:
    """Show the newest 50 jobs, or the one named; `verbose`: with the ids of its generations."""
    async with connect(folder) as client:
        if job_id:
            view.show_job(await client.get(f"/api/v3/jobs/{job_id}"), client.base, verbose=verbose)
            return 0
        answer = await client.get("/api/v3/jobs", page_size=50)
    if answer["jobs"]:
        view.show_jobs(answer["jobs"])
    else:
        view.console.print("No jobs yet. `rushes demo` makes one.")
    return 0
