"""Stores the sandbox's state in one SQLite file. What a client is answered is on disk before."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.core.predictions.domain.charges import Charge
from sandbox.core.predictions.domain.prediction import (
    Prediction,
    Status,
    from_record,
    from_rfc3339,
    to_record,
    to_rfc3339,
)
from sandbox.core.predictions.ports import OutputFile, Upload, WebhookMessage
from servicekit.errors import Unavailable

_SCHEMA = """
create table if not exists predictions (
    n integer primary key, id text unique not null, created_at text not null, done integer not null,
    expires_at text, removed integer not null, record text not null);
create index if not exists predictions_by_time on predictions (created_at, n);
create index if not exists predictions_open on predictions (n) where done = 0;
create index if not exists predictions_expiry on predictions (expires_at)
    where removed = 0 and expires_at is not null;
create table if not exists charges (
    n integer primary key, prediction_id text unique not null, model text not null, at text not null,
    amount_micros integer not null, webhook text, input_hash text not null);
create table if not exists files (
    token text primary key, prediction_id text not null, model text not null, name text not null,
    path text not null, content_type text not null, size integer not null, etag text not null,
    expires_at text not null,
    swapped integer not null default 0);
create index if not exists files_of on files (prediction_id);
create table if not exists messages (
    id text primary key, prediction_id text not null, url text not null, body blob not null,
    attempts integer not null);
create table if not exists uploads (id text primary key, created_at text not null, record text not null);
create table if not exists settings (name text primary key, value text not null);
"""


class SqliteStore:
    """Is used from the event loop's thread only: a transaction takes 50 µs.

    Paths are stored relative to the data folder, so that the folder can be moved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(folder / "sandbox.db", isolation_level=None, timeout=10.0)
            # An empty file needs no syncing: on a busy disk that alone took seconds of every first start.
            self._db.execute("pragma synchronous = off")
            self._db.execute("pragma journal_mode = wal")
            self._db.executescript(f"begin; {_SCHEMA} commit;")
            # WAL with NORMAL survives kill -9; only a power cut could lose the last transactions.
            self._db.execute("pragma synchronous = normal")
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                f"the data folder {folder} cannot be used ({error}); "
                "set SANDBOX_DATA to a writable folder with space"
            ) from error
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("begin immediate")
        try:
            yield self._db
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def create(self, prediction: Prediction, charge: Charge) -> None:
        with self._transaction() as db:
            db.execute(
                "insert into predictions (id, created_at, done, expires_at, removed, record) "
                "values (?, ?, ?, ?, ?, ?)",
                (prediction.id, to_rfc3339(prediction.created_at), *_columns(prediction)),
            )
            db.execute(
                "insert into charges (prediction_id, model, at, amount_micros, webhook, input_hash) "
                "values (:prediction_id, :model, :at, :amount_micros, :webhook, :input_hash)",
                {**asdict(charge), "at": to_rfc3339(charge.at)},
            )

    def save(
        self, prediction: Prediction, files: Sequence[OutputFile] = (), message: WebhookMessage | None = None
    ) -> None:
        with self._transaction() as db:
            db.execute(
                "update predictions set done = ?, expires_at = ?, removed = ?, record = ? where id = ?",
                (*_columns(prediction), prediction.id),
            )
            if prediction.status is Status.ABORTED:
                db.execute("update charges set amount_micros = 0 where prediction_id = ?", (prediction.id,))
            for file in files:
                row = {
                    **asdict(file),
                    "path": self._relative(file.path),
                    "expires_at": to_rfc3339(file.expires_at),
                }
                db.execute(
                    "insert into files values (:token, :prediction_id, :model, :name, :path, "
                    ":content_type, :size, "
                    ":etag, :expires_at, :swapped)",
                    row,
                )
            if message is not None:
                db.execute(
                    "insert into messages values (:id, :prediction_id, :url, :body, :attempts)",
                    asdict(message),
                )

    def get(self, prediction_id: str) -> Prediction | None:
        return next(iter(self._predictions("where id = ?", prediction_id)), None)

    def page(
        self,
        *,
        limit: int,
        before: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
    ) -> list[Prediction]:
        where, values = ["1"], []
        if before is not None:
            where.append("(created_at, n) < (select created_at, n from predictions where id = ?)")
            values.append(before)
        if created_after is not None:
            where.append("created_at >= ?")
            values.append(_sortable(created_after))
        if created_before is not None:
            where.append("created_at < ?")
            values.append(_sortable(created_before))
        order = "order by created_at desc, n desc limit ?"
        return self._predictions(f"where {' and '.join(where)} {order}", *values, limit)

    def unfinished(self) -> list[Prediction]:
        return self._predictions("where done = 0 order by n")

    def expired_predictions(self, now: datetime) -> list[Prediction]:
        due = "where removed = 0 and expires_at is not null and expires_at <= ? limit 500"
        return self._predictions(due, _sortable(now))

    def charges(self) -> list[Charge]:
        rows = self._db.execute(
            "select prediction_id, model, at, amount_micros, webhook, input_hash from charges order by n"
        )
        return [Charge(**{**dict(row), "at": from_rfc3339(row["at"])}) for row in rows]

    def file(self, token: str) -> OutputFile | None:
        row = self._db.execute("select * from files where token = ?", (token,)).fetchone()
        if row is None:
            return None
        fields = {**dict(row), "path": self._folder / row["path"], "swapped": bool(row["swapped"])}
        return OutputFile(**{**fields, "expires_at": datetime.fromisoformat(row["expires_at"])})

    def mark_swapped(self, token: str) -> None:
        self._db.execute("update files set swapped = 1 where token = ?", (token,))

    def delete_files(self, prediction_id: str) -> None:
        shutil.rmtree(self._folder / "outputs" / prediction_id, ignore_errors=True)

    def messages(self) -> list[WebhookMessage]:
        return [
            WebhookMessage(**dict(row)) for row in self._db.execute("select * from messages order by rowid")
        ]

    def save_message_attempts(self, message: WebhookMessage) -> None:
        self._db.execute("update messages set attempts = ? where id = ?", (message.attempts, message.id))

    def delete_message(self, message_id: str) -> None:
        self._db.execute("delete from messages where id = ?", (message_id,))

    def save_upload(self, upload: Upload) -> None:
        record = {**asdict(upload), "path": self._relative(upload.path)}
        record |= {"created_at": to_rfc3339(upload.created_at), "expires_at": to_rfc3339(upload.expires_at)}
        self._db.execute(
            "insert into uploads values (?, ?, ?)", (upload.id, record["created_at"], json.dumps(record))
        )

    def upload(self, upload_id: str) -> Upload | None:
        return next(iter(self._uploads("where id = ?", upload_id)), None)

    def uploads(self) -> list[Upload]:
        return self._uploads("order by created_at desc")

    def expired_uploads(self, now: datetime) -> list[Upload]:
        return self._uploads("where json_extract(record, '$.expires_at') <= ? limit 500", _sortable(now))

    def delete_upload(self, upload_id: str) -> bool:
        found = self.upload(upload_id)
        if found is None:
            return False
        found.path.unlink(missing_ok=True)  # first: a file without a record would stay for ever
        self._db.execute("delete from uploads where id = ?", (upload_id,))
        return True

    def setting(self, name: str) -> Any:
        row = self._db.execute("select value from settings where name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row["value"])

    def save_setting(self, name: str, value: Any) -> None:
        self._db.execute(
            "insert into settings values (?, ?) on conflict (name) do update set value = excluded.value",
            (name, json.dumps(value)),
        )

    def _predictions(self, which: str, *values: Any) -> list[Prediction]:
        rows = self._db.execute(f"select record from predictions {which}", values)  # noqa: S608 - constants
        return [from_record(json.loads(row["record"])) for row in rows]

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._folder))

    def _uploads(self, which: str, *values: Any) -> list[Upload]:
        rows = self._db.execute(f"select record from uploads {which}", values)  # noqa: S608 - constants
        return [self._upload(json.loads(row["record"])) for row in rows]

    def _upload(self, record: dict[str, Any]) -> Upload:
        times = {name: datetime.fromisoformat(record[name]) for name in ("created_at", "expires_at")}
        return Upload(**{**record, **times, "path": self._folder / record["path"]})


def _columns(prediction: Prediction) -> tuple[int, str | None, int, str]:
    return (
        int(prediction.is_final),
        to_rfc3339(prediction.expires_at),
        int(prediction.removed),
        json.dumps(to_record(prediction)),
    )


def _sortable(value: datetime) -> str:
    """The stored form, with microseconds, so that text comparison is time comparison."""
    return to_rfc3339((value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)) or ""
