"""The journal: revisions of records, and the entries that timelines are read from.

The texts of timelines stay as they are. The snapshots with which the journal of an older database begins are
written by the catalog when it starts: a migration knows tables, and not what a record is.
"""

from datetime import UTC, datetime, timedelta
from itertools import groupby

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_RECORDS = ("clients", "campaigns", "assets", "jobs", "generations", "api_keys")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_JOBS_AT_ONCE = 500


def upgrade() -> None:
    for table in _RECORDS:
        op.add_column(table, sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("system", sa.Column("journal_form", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("system", sa.Column("rebuilt_at", sa.BigInteger()))
    journal = op.create_table(
        "journal",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("entity", sa.String(20), nullable=False),
        sa.Column("record_id", sa.String(40), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
    )
    op.create_index("ix_journal_job", "journal", ["job_id", "id"])
    _carry_timelines_over(journal)
    op.drop_table("timeline")


def _carry_timelines_over(journal: sa.Table) -> None:
    connection = op.get_bind()
    jobs = connection.execute(sa.text("SELECT DISTINCT job_id FROM timeline ORDER BY job_id")).scalars().all()
    query = sa.text(
        "SELECT job_id, at, type, message FROM timeline WHERE job_id IN :jobs ORDER BY job_id, id"
    )
    for start in range(0, len(jobs), _JOBS_AT_ONCE):
        some = jobs[start : start + _JOBS_AT_ONCE]
        rows = connection.execute(query.bindparams(sa.bindparam("jobs", expanding=True)), {"jobs": some})
        entries = []
        for job_id, lines in groupby(rows, key=lambda row: row.job_id):
            texts = [{"at": _iso(line.at), "type": line.type, "message": line.message} for line in lines]
            at = texts[-1]["at"]
            entries.append((job_id, at, [{"type": "TimelineCarriedOver", "at": at, "entries": texts}]))
        op.bulk_insert(
            journal,
            [
                {
                    "job_id": job_id,
                    "entity": "job",
                    "record_id": job_id,
                    "revision": 0,
                    "at": _micros(at),
                    "events": events,
                }
                for job_id, at, events in entries
            ],
        )


def _iso(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def _micros(iso: str) -> int:
    return (datetime.fromisoformat(iso) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def downgrade() -> None:
    """Go back, without what timelines said."""
    op.create_table(
        "timeline",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(60), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_index("ix_timeline_job", "timeline", ["job_id", "id"])
    op.drop_table("journal")
    for name in ("rebuilt_at", "journal_form"):
        op.drop_column("system", name)
    for table in _RECORDS:
        op.drop_column(table, "revision")
