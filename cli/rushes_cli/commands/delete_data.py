"""`rushes delete-data`: deletes a data folder that no stack uses, after asking."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from rushes_cli import output
from rushes_cli.data_folder import DataFolder
from rushes_cli.errors import CommandError


async def delete_data(folder: DataFolder, confirm: Callable[[str], bool]) -> int:
    """Delete the folder if `confirm` answers yes to the question.

    Raises:
        CommandError: it is no data folder, or a stack runs on it.
    """
    if not folder.path.exists():
        output.line(f"There is no {folder.path}.")
        return 0
    if not (folder.path / "lock").is_file():
        raise CommandError(
            f"{folder.path} is no data folder of Rushes: no stack has ever run on it.",
            "Name the right one with --data or RUSHES_DATA.",
        )
    with folder.lock():
        used = output.size(sum(each.stat().st_size for each in folder.path.rglob("*") if each.is_file()))
        if not confirm(f"Delete {folder.path} ({used}) with its records and every clip paid for?"):
            output.line("Nothing was deleted.")
            return 1
        shutil.rmtree(folder.path)
    output.line(f"{folder.path} is deleted.")
    return 0
