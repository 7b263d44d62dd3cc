"""What nats-py raises when the connection or the server fails, rather than when it is used wrongly."""

from __future__ import annotations

import nats.errors

NATS_ERRORS = (nats.errors.Error, OSError, RuntimeError)
"""JetStream's errors are among the first, timeouts among the second. RuntimeError is what uvloop raises for a
connection that has just closed ("the handler is closed"): nats-py writes to it until it has read its end."""


def text_of(error: BaseException) -> str:
    """What the error says; its class when it says nothing, as timeouts do."""
    return str(error) or type(error).__name__
