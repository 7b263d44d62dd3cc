"""What earlier versions stored is read, and written again to the letter."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, insert, select

from catalog.adapters.db import tables
from catalog.adapters.db.rows import changed, from_row, to_row
from catalog.core.access.domain import ApiKey, Scope
from catalog.core.campaigns.domain import Asset, Campaign, Client
from catalog.core.jobs.domain.model import JobRequest, Music, Scene
from catalog.core.shared.domain import Error, Facts, MediaKind, RunSpec
from servicekit.clock import SystemClock

RUN = (
    '{"provider": "replicate", "model": "rushes/camera-move", "version": "v1", "kind": "video", '
    '"input": {"image": "asset:ast_1", "n": 2.5, "options": [1, null, {"deep": true}]}, '
    '"estimate_micros": 1200, "basis": "price table", "reserve_micros": 3000, "deadline_s": 300.0, '
    '"secrets": ["api_key"], "assets": ["ast_1"]}'
)
MUSIC = (
    '{"asset_id": "", "prompt": "calm", "model": "rushes/music-bed", '
    f'"run": {RUN}, "generation_id": "gen_3", "media_id": "med_3", "blob_key": "media/gen_3/0.mp3"}}'
)
PAIRS = (
    '{"scene_count": 2, "scene_seconds": 4.0, "width": 1920, "height": 1080, "model": "", '
    '"planner": "llm", "pairs": '
    '[{"first_asset_id": "ast_1", "last_asset_id": "ast_2", "prompt": "glide", "seconds": 3.0}]}'
)
FACTS = (
    '{"kind": "video", "content_type": "video/mp4", "size_bytes": 700, "sha256": "ab", '
    '"duration_s": 4.0, "width": 640, "height": 360, "fps": 25.0, "codecs": ["h264", "aac"]}'
)
ERROR = '{"code": "E005", "message": "refused", "retryable": true}'


@pytest.mark.parametrize(
    ("cls", "stored"),
    [(RunSpec, RUN), (Music, MUSIC), (JobRequest, PAIRS), (Facts, FACTS), (Error, ERROR)],
)
def test_a_document_of_before_is_read_and_written_to_the_letter(cls: type[Any], stored: str) -> None:
    record = msgspec.convert(json.loads(stored), cls)
    assert isinstance(record, cls)
    assert json.dumps(msgspec.to_builtins(record)) == stored


def test_a_document_that_lacks_a_field_takes_its_default_and_an_unknown_field_is_passed_over() -> None:
    stored = {"provider": "replicate", "model": "m", "version": "", "kind": "video", "later": 1}
    assert msgspec.convert(stored, RunSpec) == RunSpec("replicate", "m", "", MediaKind.VIDEO)
    with pytest.raises(msgspec.ValidationError, match="nowhere"):
        msgspec.convert({**stored, "kind": "nowhere"}, RunSpec)


@pytest.mark.usefixtures("rows_by_hand")
def test_records_come_back_from_their_rows() -> None:
    now = SystemClock().now()
    facts = Facts(MediaKind.IMAGE, "image/png", 30, "b" * 64)
    client = Client("cli_1", "Harbour", now, now, None, {"a": [1, {"b": None}]})
    campaign = Campaign("cmp_1", "cli_1", "Spring", now, now, "brief", 0)
    asset = Asset("ast_1", "cli_1", "n", "f.png", "k", facts, now, now, tags=("a", "b"), metadata={})
    key = ApiKey("key_1", "ci", "rsh_1234", "c" * 64, Scope.READ, now, expires_at=now)
    run = msgspec.convert(json.loads(RUN), RunSpec)
    scene = Scene("scn_1", 1, "p", 4.0, "ast_1", "", "", run, error=Error("x", "y"))
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.begin() as connection:
        for table, record, derived in (
            (tables.clients, client, {}),
            (tables.campaigns, campaign, {}),
            (tables.assets, asset, {"kind": facts.kind}),
            (tables.api_keys, key, {}),
            (tables.scenes, scene, {"job_id": "job_1"}),
        ):
            row = to_row(table, record, **derived)
            assert row.keys() == {column.name for column in table.columns}
            connection.execute(insert(table).values(row))
            assert from_row(type(record), connection.execute(select(table)).one()) == record
    engine.dispose()


def test_only_what_changed_is_written() -> None:
    assert changed({"a": 1, "b": None, "c": []}, {"a": 1, "b": 2, "c": [0]}) == {"b": 2, "c": [0]}
