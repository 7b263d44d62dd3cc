"""The trace in which a generation was requested, so that a later request goes on with it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it. A catalog of the version before goes on meanwhile, and leaves the column empty."""
    op.add_column("generations", sa.Column("traceparent", sa.String(60), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("generations", "traceparent")
