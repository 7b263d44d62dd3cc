"""A name for this system, by which its blob store is told from another's."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    made = op.create_table("system", sa.Column("id", sa.String(length=40), nullable=False, primary_key=True))
    op.bulk_insert(made, [{"id": uuid4().hex}])


def downgrade() -> None:
    """Take it back."""
    op.drop_table("system")
