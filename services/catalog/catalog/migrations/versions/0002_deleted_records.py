"""Deleted records, and the sizes that the storage statistics add up."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOT_DELETED = sa.text("deleted_at IS NULL")
_ENDED = sa.text("deleted_at IS NULL AND finished_at IS NOT NULL")
_REQUEUED = sa.text("deleted_at IS NULL AND requeues > 0")
_INDEXES = (
    ("ix_generations_ended", "generations", ["finished_at", "id"], _ENDED),
    ("ix_generations_requeued", "generations", ["requeues"], _REQUEUED),
    ("ix_media_kept", "media", ["kind", "size_bytes", "deleted_at"], _NOT_DELETED),
    ("ix_media_newest", "media", ["created_at", "id"], _NOT_DELETED),
    ("ix_cuts_kept", "cuts", ["size_bytes", "deleted_at"], _NOT_DELETED),
    ("ix_cuts_newest", "cuts", ["created_at", "job_id", "version"], _NOT_DELETED),
    ("ix_jobs_ended", "jobs", ["finished_at", "id"], None),
)


def upgrade() -> None:
    """Apply it."""
    for table in ("generations", "media", "cuts"):
        op.add_column(table, sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    op.add_column("media", sa.Column("kind", sa.String(length=20), nullable=False, server_default="unknown"))
    for table in ("media", "cuts"):
        op.add_column(table, sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    for table in ("media", "cuts"):  # both fields stand in the facts already
        rows = sa.table(
            table, sa.column("facts", sa.JSON()), sa.column("size_bytes", sa.BigInteger()), sa.column("kind")
        )
        known = {"size_bytes": sa.func.coalesce(rows.c.facts["size_bytes"].as_integer(), 0)}
        if table == "media":
            known["kind"] = sa.func.coalesce(rows.c.facts["kind"].as_string(), "unknown")
        op.execute(sa.update(rows).values(known))
    for name, table, columns, where in _INDEXES:
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Take it back: what was deleted is shown again, without its bytes."""
    for name, table, _columns, _where in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    for table in ("cuts", "media"):
        op.drop_column(table, "size_bytes")
    op.drop_column("media", "kind")
    for table in ("cuts", "media", "generations"):
        op.drop_column(table, "deleted_at")
