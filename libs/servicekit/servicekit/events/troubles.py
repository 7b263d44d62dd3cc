"""What nats-py raises when the connection or the server is in trouble, rather than asked for nonsense."""

from __future__ import annotations

import nats.errors

TROUBLE = (nats.errors.Error, OSError, RuntimeError)
"""JetStream's errors are among the first, timeouts among the second. RuntimeError is what uvloop says of a
connection that has just closed ("the handler is closed"): nats-py writes to it until it has read its end."""
