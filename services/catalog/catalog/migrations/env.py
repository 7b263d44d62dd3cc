"""What Alembic runs: the migrations, on the connection that `catalog.adapters.db.migrate` hands over."""

from __future__ import annotations

from alembic import context

from catalog.adapters.db.tables import metadata

connection = context.config.attributes["connection"]
# SQLite cannot alter most things in place: batch mode copies the table.
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
context.run_migrations()
