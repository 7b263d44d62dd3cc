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

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: Any, _dialect: Any) -> datetime | None:
        return None if value is None else moment(value)


metadata = MetaData()
_ID, _WORD = String(40), String(20)


def _required(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False) for name in names]


def _optional(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind) for name in names]


def _record(name: str, *columns: Any) -> Table:
    """A table of records that the journal has."""
    # How many entries the journal has of the record; a snapshot leaves some out.
    revision = Column("revision", BigInteger, nullable=False, server_default="0")
    return Table(name, metadata, Column("id", _ID, primary_key=True), revision, *columns)


def _only(condition: str) -> dict[str, Any]:
    """The options of an index that has only the rows which meet a condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


outbox = outbox_table(metadata)
inbox = inbox_table(metadata)

system = Table(
    "system",
    metadata,
    # One row, made with the database: a restored backup has the same, a fresh database another.
    Column("id", _ID, primary_key=True),
    # The form in which the journal has every record; 0: it does not have them all.
    Column("journal_form", Integer, nullable=False, server_default="0"),
    # When it was made again from the journal. What was uploaded before, and has no record, may have lost it.
    Column("rebuilt_at", Moment),
)

clients = _record(
    "clients",
    *_required(Text, "name"),
    *_optional(Text, "brand_guidelines"),
    *_optional(JSON, "metadata"),
    *_required(Moment, "created_at", "updated_at"),
)

campaigns = _record(
    "campaigns",
    *_required(_ID, "client_id"),
    *_required(Text, "name"),
    *_optional(Text, "brief"),
    *_optional(BigInteger, "budget_cents"),
    *_optional(JSON, "metadata"),
    *_required(Moment, "created_at", "updated_at"),
    Index("ix_campaigns_client", "client_id", "id"),
)

assets = _record(
    "assets",
    *_required(_ID, "client_id", "campaign_id"),
    *_required(Text, "name", "filename", "blob_key"),
    *_optional(Text, "description"),
    *_required(_WORD, "kind"),
    *_required(JSON, "facts", "tags"),
    *_optional(JSON, "metadata"),
    *_required(Moment, "created_at", "updated_at"),
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
    *_required(BigInteger, "spent_micros", "reserved_micros"),
)

jobs = _record(
    "jobs",
    *_required(_ID, "campaign_id"),
    *_required(_WORD, "status"),
    *_required(Boolean, "paused"),
    *_required(JSON, "request", "edit"),
    *_optional(JSON, "music", "error"),
    *_required(Text, "planner", "message"),
    *_required(Integer, "version", "stitch_round", "stitch_errors", "stalled_rounds"),
    *_required(Float, "percent"),
    *_required(Moment, "created_at", "updated_at", "last_event_at"),
    *_optional(Moment, "finished_at"),
    # When the reconciler requests it again; null when no event is due.
    *_optional(Moment, "stalled_at"),
    Index("ix_jobs_campaign", "campaign_id", "id"),
    Index("ix_jobs_status", "status", "id"),
    Index("ix_jobs_stalled", "stalled_at"),
    Index("ix_jobs_ended", "finished_at", "id"),
)

scenes = Table(
    "scenes",
    metadata,
    Column("id", _ID, primary_key=True),
    *_required(_ID, "job_id", "first_asset_id", "last_asset_id", "generation_id", "media_id"),
    *_required(Integer, "position"),
    *_required(Text, "prompt", "reason", "blob_key"),
    *_required(Float, "seconds"),
    *_required(JSON, "run"),
    *_optional(JSON, "error"),
    Index("ix_scenes_job", "job_id", "position"),
    Index("ix_scenes_first_asset", "first_asset_id"),
    Index("ix_scenes_last_asset", "last_asset_id"),
)

generations = _record(
    "generations",
    *_required(_ID, "campaign_id", "job_id", "scene_id", "winner"),
    *_required(String(40), "provider"),
    *_required(String(200), "model"),
    *_required(_WORD, "kind", "stage", "status"),
    *_required(JSON, "run"),
    *_optional(JSON, "error"),
    *_required(Float, "percent"),
    *_required(Text, "message"),
    *_required(Integer, "round", "output_count", "requeues", "requeue_round", "stalled_rounds"),
    *_required(Boolean, "cancel_requested"),
    *_required(Moment, "created_at", "updated_at", "last_event_at"),
    *_optional(Moment, "not_before", "expires_at", "requeue_at", "finished_at", "stalled_at"),
    # A deleted one stays for the accounts, and so that late events about it find that it is deleted.
    *_optional(Moment, "deleted_at"),
    # The trace in which it was requested first; no part of what it is.
    *_optional(String(60), "traceparent"),
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
        "ix_generations_ended", "finished_at", "id", **_only("deleted_at IS NULL AND finished_at IS NOT NULL")
    ),
    Index("ix_generations_requeued", "requeues", **_only("deleted_at IS NULL AND requeues > 0")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _ID, primary_key=True),
    *_required(_ID, "generation_id"),
    *_required(Integer, "number"),
    *_required(_WORD, "state"),
    *_optional(String(200), "prediction_id"),
    *_required(BigInteger, "reserved_micros", "cost_micros"),
    *_required(Moment, "intended_at"),
    *_optional(Moment, "submitted_at"),
    *_optional(JSON, "error"),
    UniqueConstraint("generation_id", "number", name="uq_attempts_number"),
    UniqueConstraint("prediction_id", name="uq_attempts_prediction"),
)

outputs = Table(
    "outputs",
    metadata,
    Column("generation_id", _ID, primary_key=True),
    Column("index", Integer, primary_key=True),
    *_required(_WORD, "state"),
    *_required(Moment, "at"),
    *_required(_ID, "media_id"),
    *_optional(JSON, "error"),
    *_optional(Moment, "expires_at"),
    # Of a lost one: when it is requested again by itself.
    *_optional(Moment, "requeue_at"),
    # When operators were warned that it expires, and when it was counted as lost.
    *_optional(Moment, "warned_at", "counted_at"),
    # What is lost is little: the retry queue and the alarms read only this.
    Index("ix_outputs_lost", "at", "generation_id", "index", **_only("state = 'lost'")),
    Index(
        "ix_outputs_expiring", "expires_at", **_only("state IN ('lost', 'pending') AND counted_at IS NULL")
    ),
)

media = Table(
    "media",
    metadata,
    Column("id", _ID, primary_key=True),
    *_required(_ID, "generation_id"),
    *_required(Integer, "index"),
    *_required(Text, "blob_key"),
    *_required(JSON, "facts"),
    *_required(Moment, "created_at"),
    # Two of the facts, to be added up.
    Column("kind", _WORD, nullable=False, server_default="unknown"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    *_optional(Moment, "deleted_at"),
    UniqueConstraint("generation_id", "index", name="uq_media_output"),
    # The statistics read nothing but this, the list of files begins with that.
    Index("ix_media_kept", "kind", "size_bytes", "deleted_at", **_only("deleted_at IS NULL")),
    Index("ix_media_newest", "created_at", "id", **_only("deleted_at IS NULL")),
)

cuts = Table(
    "cuts",
    metadata,
    Column("job_id", _ID, primary_key=True),
    Column("version", Integer, primary_key=True),
    *_required(Text, "cut_key", "thumbnail_key"),
    *_required(JSON, "facts"),
    *_required(Moment, "created_at"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    *_optional(Moment, "deleted_at"),
    Index("ix_cuts_kept", "size_bytes", "deleted_at", **_only("deleted_at IS NULL")),
    Index("ix_cuts_newest", "created_at", "job_id", "version", **_only("deleted_at IS NULL")),
)

# The entries of jobs and of their generations, for timelines. The stream `JOURNAL` has those of all records.
journal = Table(
    "journal",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    *_required(_ID, "job_id", "record_id"),
    *_required(_WORD, "entity"),
    *_required(BigInteger, "revision"),
    *_required(Moment, "at"),
    *_required(JSON, "events"),
    Index("ix_journal_job", "job_id", "id"),
)

api_keys = _record(
    "api_keys",
    *_required(Text, "name"),
    *_required(_WORD, "prefix", "scope"),
    Column("sha256", String(64), nullable=False, unique=True),
    *_required(Moment, "created_at"),
    *_optional(Moment, "expires_at", "last_used_at", "revoked_at"),
)
