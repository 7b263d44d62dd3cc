from __future__ import annotations

import os
from pathlib import Path

import pytest

from rushes_cli.commands.demo import DemoRequest, demo
from rushes_cli.data_folder import DataFolder, StackState
from rushes_cli.errors import CommandError
from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.stack.services import provider_of


@pytest.mark.parametrize(
    ("runs", "here"),
    [("https://api.replicate.com", {}), ("sandbox", {"REPLICATE_API_TOKEN": "r8_x"})],
    ids=["a real one where the sandbox is meant", "the sandbox where a real one is meant"],
)
async def test_a_running_system_with_another_provider_is_not_taken(
    tmp_path: Path, runs: str, here: dict[str, str]
) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    with folder.lock():
        folder.write_state(
            StackState(pid=os.getpid(), gateway="http://127.0.0.1:1", code=code_fingerprint(), provider=runs)
        )
        with pytest.raises(CommandError, match=f"{runs}, and the settings here ask for {provider_of(here)}"):
            await demo(folder, DemoRequest(None, None, 4, 4.0, 900.0), here)


async def test_a_system_that_runs_elsewhere_needs_its_key(tmp_path: Path) -> None:
    request = DemoRequest(None, None, 4, 4.0, 900.0, at="https://rushes.example.com")
    with pytest.raises(CommandError, match=r"https://rushes\.example\.com asks for an API key"):
        await demo(DataFolder(tmp_path), request, {})
