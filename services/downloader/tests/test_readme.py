"""The README has every error code as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from downloader.core.fetching.domain.fetch_errors import ErrorCode
from downloader.main import build
from servicekit.config import ConfigError

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("code", ErrorCode, ids=str)
def test_every_error_is_documented(code) -> None:
    assert f"| `{code}` | {code.meaning} | {code.give_up.value} |" in README


def test_a_wrong_allow_list_is_an_error_before_anything_starts() -> None:
    environ = {"BLOB_ENDPOINT": "http://x", "BLOB_ACCESS_KEY": "k", "BLOB_SECRET_KEY": "s"}
    with pytest.raises(ConfigError, match=r"FETCH_ALLOW.*'http://y'"):
        build(environ | {"FETCH_ALLOW": "sandbox,http://y"})
