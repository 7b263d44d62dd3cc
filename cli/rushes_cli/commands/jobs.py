"""`rushes jobs`: shows the newest jobs, or one in full."""

from __future__ import annotations

from rushes_cli import output
from rushes_cli.data_folder import DataFolder
from rushes_cli.rest_client import connect


async def jobs(folder: DataFolder, job_id: str | None, *, verbose: bool = False) -> int:
    async with connect(folder) as client:
        if job_id:
            output.show_job(await client.get(f"/api/v3/jobs/{job_id}"), client.base, verbose=verbose)
            return 0
        answer = await client.get("/api/v3/jobs", page_size=50)
    if answer["jobs"]:
        output.show_jobs(answer["jobs"])
    else:
        output.line("No jobs yet. `rushes demo` makes one.")
    return 0
