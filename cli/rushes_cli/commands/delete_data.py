"""`rushes delete-data`: a data folder with everything in it, once nobody uses it and the person is sure."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from rushes_cli import view
from rushes_cli.folder import DataFolder
from rushes_cli.problems import Problem


async def delete_data(folder: DataFolder, sure: Callable[[str], bool]) -> int:
    """Delete the folder when `sure` answers its question with yes.

    Raises:
        Problem: it is no data folder, or a stack runs on it.
    """
    if not folder.path.exists():
        view.console.print(f"There is no {folder.path}.", soft_wrap=True)
        return 0
    if not (folder.path / "lock").is_file():
        raise Problem(
            f"{folder.path} is no data folder of Rushes: no stack has ever run on it.",
            "Name the right one with --data or RUSHES_DATA.",
        )
    with folder.held():
        taken = sum(each.stat().st_size for each in folder.path.rglob("*") if each.is_file())
        if not sure(f"Delete {folder.path} ({view.size(taken)}) with its records and every clip paid for?"):
            view.console.print("Nothing was deleted.")
            return 1
        shutil.rmtree(folder.path)
    view.console.print(f"{folder.path} is deleted.", soft_wrap=True)
    return 0
