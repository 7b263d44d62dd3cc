"""Limits the size of messages and the time of a stop, the same at both ends of every channel."""

from __future__ import annotations

MESSAGE_LIMIT = 8 * 1024 * 1024
"""Bytes of a message, either way; gRPC's own default is 4 MiB at whoever receives.

The largest that come: a JSON body of 1 MiB as a `Struct`, and a provider's webhook of 4 MiB.
Answers that hold many records are cut into pages below `PAGE_LIMIT`.
"""

PAGE_LIMIT = 7 * 1024 * 1024
"""Bytes of a page of records: a larger one is read again with fewer records."""

GRACE = 5.0
"""Seconds that running calls get to finish when their server stops, before they are cancelled."""
