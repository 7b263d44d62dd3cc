"""The tables. Times are integer microseconds since 1970 (UTC), money is integer micro-dollars."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from servicekit.outbox import inbox_table, outbox_table
from servicekit.outbox.tables import micros, moment


class Moment(TypeDecorator[datetime]):
    """A time, stored as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: Any, _dialect: Any) -> datetime | None:
        return None if value is None else moment(value)


metadata = MetaData()
_ID = String(40)
_NOT_DELETED: dict[str, Any] = {
    "sqlite_where": text("deleted_at IS NULL"),
    "postgresql_where": text("deleted_at IS NULL"),
}


def _revision() -> Column[int]:
    """How many entries the journal has of the record; a snapshot leaves some out."""
    return Column("revision", BigInteger, nullable=False, server_default="0")


outbox = outbox_table(metadata)
inbox = inbox_table(metadata)

system = Table(
    "system",
    metadata,
    # One row, made with the database: a restored backup has the same, a fresh database another.
    Column("id", _ID, primary_key=True),
    # The form in which the journal has every record; 0: it has not.
    Column("journal_form", Integer, nullable=False, server_default="0"),
    # When it was made again from the journal. What was uploaded before, and has no record, may have lost it.
    Column("rebuilt_at", Moment),
)

clients = Table(
    "clients",
    metadata,
    Column("id", _ID, primary_key=True),
    _revision(),
    Column("name", Text, nullable=False),
    Column("brand_guidelines", Text),
    Column("metadata", JSON),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", _ID, primary_key=True),
    _revision(),
    Column("client_id", _ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("brief", Text),
    Column("budget_cents", BigInteger),
    Column("metadata", JSON),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_campaigns_client", "client_id", "id"),
)

assets = Table(
    "assets",
    metadata,
    Column("id", _ID, primary_key=True),
    _revision(),
    Column("client_id", _ID, nullable=False),
    Column("campaign_id", _ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("filename", Text, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("metadata", JSON),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_assets_client", "client_id", "id"),
    Index("ix_assets_campaign", "campaign_id", "id"),
    Index("ix_assets_kind", "kind", "id"),
)

asset_tags = Table(
    "asset_tags",
    metadata,
    Column("tag", String(100), primary_key=True),
    Column("asset_id", _ID, primary_key=True),
    Index("ix_asset_tags_asset", "asset_id"),
)

accounts = Table(
    "accounts",
    metadata,
    # "campaign:<id>" or "day:<date>": locked, in the order of the names, by whoever reserves money.
    Column("account", String(60), primary_key=True),
    Column("spent_micros", BigInteger, nullable=False),
    Column("reserved_micros", BigInteger, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    _revision(),
    Column("campaign_id", _ID, nullable=False),
    Column("status", String(20), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("request", JSON, nullable=False),
    Column("edit", JSON, nullable=False),
    Column("music", JSON),
    Column("planner", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("stitch_round", Integer, nullable=False),
    Column("stitch_errors", Integer, nullable=False),
    Column("percent", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("error", JSON),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("last_event_at", Moment, nullable=False),
    Column("stalled_rounds", Integer, nullable=False),
    # When the reconciler requests it again; null when no event is due.
    Column("stalled_at", Moment),
    Index("ix_jobs_campaign", "campaign_id", "id"),
    Index("ix_jobs_status", "status", "id"),
    Index("ix_jobs_stalled", "stalled_at"),
    Index("ix_jobs_ended", "finished_at", "id"),
)

scenes = Table(
    "scenes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("job_id", _ID, nullable=False),
    Column("position", Integer, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("first_asset_id", _ID, nullable=False),
    Column("last_asset_id", _ID, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run", JSON, nullable=False),
    Column("generation_id", _ID, nullable=False),
    Column("media_id", _ID, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("error", JSON),
    Index("ix_scenes_job", "job_id", "position"),
    Index("ix_scenes_first_asset", "first_asset_id"),
    Index("ix_scenes_last_asset", "last_asset_id"),
)

generations = Table(
    "generations",
    metadata,
    Column("id", _ID, primary_key=True),
    _revision(),
    Column("campaign_id", _ID, nullable=False),
    Column("job_id", _ID, nullable=False),
    Column("scene_id", _ID, nullable=False),
    Column("provider", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("run", JSON, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("percent", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("error", JSON),
    Column("round", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("not_before", Moment),
    Column("winner", _ID, nullable=False),
    Column("output_count", Integer, nullable=False),
    Column("expires_at", Moment),
    Column("requeues", Integer, nullable=False),
    Column("requeue_round", Integer, nullable=False),
    Column("requeue_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("last_event_at", Moment, nullable=False),
    Column("stalled_rounds", Integer, nullable=False),
    Column("stalled_at", Moment),
    # A deleted one stays for the accounts, and so that late events about it find that it is deleted.
    Column("deleted_at", Moment),
    # Every list is "newest first" within a filter: an id sorts by time, so each index ends with it.
    Index("ix_generations_job", "job_id", "id"),
    Index("ix_generations_campaign", "campaign_id", "id"),
    Index("ix_generations_status", "status", "id"),
    Index("ix_generations_kind", "kind", "status", "id"),
    Index("ix_generations_kind_only", "kind", "id"),
    Index("ix_generations_model", "model", "id"),
    Index("ix_generations_stalled", "stalled_at"),
    Index("ix_generations_requeue", "requeue_at"),
    # What the clean-up goes through, and what the statistics add up.
    Index(
        "ix_generations_ended",
        "finished_at",
        "id",
        sqlite_where=text("deleted_at IS NULL AND finished_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NULL AND finished_at IS NOT NULL"),
    ),
    Index(
        "ix_generations_requeued",
        "requeues",
        sqlite_where=text("deleted_at IS NULL AND requeues > 0"),
        postgresql_where=text("deleted_at IS NULL AND requeues > 0"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("generation_id", _ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("prediction_id", String(200)),
    Column("reserved_micros", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("intended_at", Moment, nullable=False),
    Column("submitted_at", Moment),
    Column("error", JSON),
    UniqueConstraint("generation_id", "number", name="uq_attempts_number"),
    UniqueConstraint("prediction_id", name="uq_attempts_prediction"),
)

outputs = Table(
    "outputs",
    metadata,
    Column("generation_id", _ID, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("state", String(20), nullable=False),
    Column("at", Moment, nullable=False),
    Column("media_id", _ID, nullable=False),
    Column("error", JSON),
    Column("expires_at", Moment),
    # Of a lost one: when it is requested again by itself.
    Column("requeue_at", Moment),
    # When operators were warned that it expires, and when it was counted as lost.
    Column("warned_at", Moment),
    Column("counted_at", Moment),
    # What is lost is little: the retry queue and the alarms read only this.
    Index(
        "ix_outputs_lost",
        "at",
        "generation_id",
        "index",
        sqlite_where=text("state = 'lost'"),
        postgresql_where=text("state = 'lost'"),
    ),
    Index(
        "ix_outputs_expiring",
        "expires_at",
        sqlite_where=text("state IN ('lost', 'pending') AND counted_at IS NULL"),
        postgresql_where=text("state IN ('lost', 'pending') AND counted_at IS NULL"),
    ),
)

media = Table(
    "media",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("generation_id", _ID, nullable=False),
    Column("index", Integer, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    # Two of the facts, to be added up.
    Column("kind", String(20), nullable=False, server_default="unknown"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("deleted_at", Moment),
    UniqueConstraint("generation_id", "index", name="uq_media_output"),
    # The statistics read nothing but this, the list of files begins with that.
    Index("ix_media_kept", "kind", "size_bytes", "deleted_at", **_NOT_DELETED),
    Index("ix_media_newest", "created_at", "id", **_NOT_DELETED),
)

cuts = Table(
    "cuts",
    metadata,
    Column("job_id", _ID, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("cut_key", Text, nullable=False),
    Column("thumbnail_key", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("deleted_at", Moment),
    Index("ix_cuts_kept", "size_bytes", "deleted_at", **_NOT_DELETED),
    Index("ix_cuts_newest", "created_at", "job_id", "version", **_NOT_DELETED),
)

# The entries of jobs and of their generations, for timelines. The stream `JOURNAL` has those of all records.
journal = Table(
    "journal",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job_id", _ID, nullable=False),
    Column("entity", String(20), nullable=False),
    Column("record_id", _ID, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
    Column("events", JSON, nullable=False),
    Index("ix_journal_job", "job_id", "id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    _revision(),
    Column("name", Text, nullable=False),
    Column("prefix", String(20), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("scope", String(20), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)
