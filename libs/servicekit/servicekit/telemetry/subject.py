"""Says in logs and traces which job, generation or other record the work at hand is about."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from opentelemetry import trace

_LONGEST_ID = 64
"""Characters: what is longer is no id of ours, whatever a client calls it."""


def bind(ids: Mapping[str, str]) -> None:
    """Put ids, such as `job_id`, into every later log line of this task, and into its current span.

    Each request and each delivery is handled in a task of its own: nothing has to be taken back.
    """
    known = {name: value for name, value in ids.items() if 0 < len(value) <= _LONGEST_ID}
    if known:
        structlog.contextvars.bind_contextvars(**known)
        trace.get_current_span().set_attributes(known)
