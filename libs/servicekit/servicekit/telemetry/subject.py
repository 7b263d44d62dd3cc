"""Says in logs and traces which job, generation or other record the work at hand is about."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from opentelemetry import trace


def bind(ids: Mapping[str, str]) -> None:
    """Put ids, such as `job_id`, into every later log line of this task, and into its current span.

    Each request and each delivery is handled in a task of its own: nothing has to be taken back.
    """
    known = {name: value for name, value in ids.items() if value}
    if known:
        structlog.contextvars.bind_contextvars(**known)
        trace.get_current_span().set_attributes(known)
