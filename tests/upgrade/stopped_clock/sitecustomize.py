"""Lets every Python process of a stack believe that the release was killed a moment ago.

Python runs it at the start of each process that has this folder on PYTHONPATH. Otherwise what the release
left would be too old: outputs expire after an hour, and the log drops its events after a month.
"""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from servicekit.clock import SystemClock
from servicekit.events import topology

_BEHIND = timedelta(seconds=float(os.environ["CLOCK_BEHIND_S"]))
_now, _apply_stream = SystemClock.now, topology.apply_stream


def _then(clock: SystemClock) -> datetime:
    return _now(clock) - _BEHIND


async def _apply_lasting_stream(js: Any, spec: topology.StreamSpec, *more: Any) -> None:
    await _apply_stream(js, replace(spec, max_age=None), *more)


SystemClock.now = _then  # type: ignore[method-assign]
topology.apply_stream = _apply_lasting_stream
