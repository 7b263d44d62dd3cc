"""Marks on lost outputs: who was warned that they expire, and which of them were counted."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MISSING = sa.text("state IN ('lost', 'pending') AND counted_at IS NULL")


def upgrade() -> None:
    """Apply it. What has expired by now is history: operators are not alerted of it."""
    for name in ("warned_at", "counted_at"):
        op.add_column("outputs", sa.Column(name, sa.BigInteger(), nullable=True))
    rows = sa.table(
        "outputs",
        sa.column("state"),
        sa.column("expires_at"),
        sa.column("warned_at"),
        sa.column("counted_at"),
    )
    now = time.time_ns() // 1000
    old = sa.update(rows).where(rows.c.state == "lost", rows.c.expires_at <= now)
    op.execute(old.values(warned_at=rows.c.expires_at, counted_at=rows.c.expires_at))
    op.create_index(
        "ix_outputs_expiring",
        "outputs",
        ["expires_at"],
        sqlite_where=_MISSING,
        postgresql_where=_MISSING,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_outputs_expiring", table_name="outputs")
    for name in ("counted_at", "warned_at"):
        op.drop_column("outputs", name)
