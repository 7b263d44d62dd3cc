"""Columns, a table and indexes get the names of the glossary."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("jobs", "wish", "request"),
    ("jobs", "failure", "error"),
    ("jobs", "stitch_failures", "stitch_errors"),
    ("jobs", "heard_at", "last_event_at"),
    ("jobs", "silent_rounds", "stalled_rounds"),
    ("jobs", "silent_at", "stalled_at"),
    ("scenes", "failure", "error"),
    ("generations", "failure", "error"),
    ("generations", "heard_at", "last_event_at"),
    ("generations", "silent_rounds", "stalled_rounds"),
    ("generations", "silent_at", "stalled_at"),
    ("attempts", "failure", "error"),
    ("outputs", "failure", "error"),
    ("cuts", "poster_key", "thumbnail_key"),
)
_TABLES = (("ledger", "accounts"),)
# Neither database renames an index the same way: it is dropped and made again.
_INDEXES = (
    ("jobs", "ix_jobs_silent", "ix_jobs_stalled", "stalled_at"),
    ("generations", "ix_generations_silent", "ix_generations_stalled", "stalled_at"),
)


def upgrade() -> None:
    """Rename."""
    for table, old, new in _COLUMNS:
        op.execute(f'ALTER TABLE {table} RENAME COLUMN "{old}" TO "{new}"')
    for old, new in _TABLES:
        op.rename_table(old, new)
    for table, old, new, column in _INDEXES:
        op.drop_index(old, table_name=table)
        op.create_index(new, table, [column])


def downgrade() -> None:
    """Rename back."""
    for table, old, new in _COLUMNS:
        op.execute(f'ALTER TABLE {table} RENAME COLUMN "{new}" TO "{old}"')
    for old, new in _TABLES:
        op.rename_table(new, old)
    for table, old, new, column in _INDEXES:
        op.drop_index(new, table_name=table)
        op.create_index(old, table, [column.replace("stalled", "silent")])
