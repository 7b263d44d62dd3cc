"""Each lost output has its own time at which it is requested again; its generation has the first of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and give those that are to be requested again the time of their generation."""
    op.add_column("outputs", sa.Column("requeue_at", sa.BigInteger()))
    op.execute(
        "UPDATE outputs SET requeue_at = "
        "(SELECT generations.requeue_at FROM generations WHERE generations.id = outputs.generation_id) "
        "WHERE state = 'lost'"
    )


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("outputs", "requeue_at")
