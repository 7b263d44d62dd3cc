"""Tells errors that pass (the database is away, busy or full) from those of a wrong statement."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,  # a disk with errors is mounted so
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,  # "locking protocol": many open the log at once
        sqlite3.SQLITE_SCHEMA,
    }
)
"""Primary result codes; without SQLITE_CORRUPT, which waiting does not mend."""

_POSTGRES = (
    "08",  # the connection
    "25006",  # read-only: a standby that was the primary
    "40",  # rolled back in favour of another transaction, as after a deadlock
    "53",  # too many connections, no memory, a full disk
    "55P03",  # no lock in time
    "57",  # shutting down, starting up, canceled
    "58",  # the operating system under it
)
"""SQLSTATEs, or the classes they begin with."""


def is_transient(error: BaseException) -> bool:
    """Whether the very same statement may succeed later; for what SQLAlchemy's engines raise."""
    if isinstance(error, PoolTimeout | OSError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return _is_transient_sqlite(error.orig) or str(getattr(error.orig, "sqlstate", "")).startswith(_POSTGRES)


def _is_transient_sqlite(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _SQLITE  # higher bits: the extended code
