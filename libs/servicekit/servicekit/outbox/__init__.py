"""The outbox: events committed with the change they report, published after it. The inbox: applied once."""

from servicekit.outbox.backlog import Backlog
from servicekit.outbox.inbox import first_time, inbox_table
from servicekit.outbox.relay import Relay
from servicekit.outbox.tables import append, outbox_table

__all__ = ["Backlog", "Relay", "append", "first_time", "inbox_table", "outbox_table"]
