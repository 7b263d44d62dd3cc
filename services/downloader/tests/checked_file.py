"""Checks a file in this process as the decoder's process does, with the downloader's own errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from downloader.adapters.media.probe_worker import CODES
from downloader.core.fetching.domain.fetch_errors import FetchError
from mediakit.check import check_file
from mediakit.errors import MediaError
from mediakit.formats import Format
from mediakit.streams import start_decodes


def checked_file(path: Path, found: Format, *, start_decoded: bool = False) -> Any:
    return _with_our_errors(lambda: check_file(path, found, start_decoded=start_decoded))


def checked_start(path: Path, found: Format) -> Any:
    return _with_our_errors(lambda: start_decodes(path, found))


def _with_our_errors(check: Callable[[], Any]) -> Any:
    try:
        return check()
    except MediaError as error:
        raise FetchError(CODES[error.problem], error.message) from error
