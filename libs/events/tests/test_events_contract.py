"""Events are named as the contracts say, and as they always were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from events.contract import EVENT_TYPES, event_type, message_of
from events.envelope import envelope
from events.template import Template
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid
from servicekit.events import Event
from servicekit.events.event import check

# Ids, subjects and refs as the first publishers of each event wrote them by hand. Consumers recognise an
# event by its id for days: a change would make them apply it twice.
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "envelopes.json").read_text())


@pytest.mark.parametrize("case", GOLDEN)
def test_an_event_keeps_its_id_subject_and_refs(case: str) -> None:
    wanted = GOLDEN[case]
    message = ParseDict(wanted["fields"], getattr(events_pb2, case.partition(" ")[0])())
    made = envelope(message)
    check(made)
    assert {"type": made.type, "id": made.id, "subject": made.subject, "refs": dict(made.refs)} == {
        name: wanted[name] for name in ("type", "id", "subject", "refs")
    }
    assert message_of(made) == message


def test_every_event_has_a_golden_case() -> None:
    covered = {getattr(events_pb2, case.partition(" ")[0]).DESCRIPTOR.full_name for case in GOLDEN}
    assert covered == {each.message.DESCRIPTOR.full_name for each in EVENT_TYPES.values()}


def test_every_message_is_an_event_or_a_part_of_one() -> None:
    events = {each.message.DESCRIPTOR for each in EVENT_TYPES.values()}
    parts = {
        field.message_type
        for event in events
        for field in event.fields
        if field.message_type is not None and field.message_type.file is events_pb2.DESCRIPTOR
    }
    nested = {f.message_type for part in parts for f in part.fields if f.message_type is not None}
    assert set(events_pb2.DESCRIPTOR.message_types_by_name.values()) <= events | parts | nested


def test_every_event_names_its_publisher_and_a_type_that_is_its_own() -> None:
    for name, each in EVENT_TYPES.items():
        words = "".join(word.capitalize() for word in name.replace(".", "_").split("_"))
        assert each.message.DESCRIPTOR.name == words
        assert each.publisher in {"catalog", "generator", "downloader", "stitcher"}
        assert event_type(each.message()) is each


def test_an_event_without_what_its_id_is_made_of_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks a value"):
        envelope(events_pb2.JobCreated())


def test_an_event_of_no_known_type_has_no_message_and_a_broken_one_is_invalid() -> None:
    assert message_of(Event(id="x", type="job.unheard_of", key="job_1")) is None
    with pytest.raises(Invalid, match="does not parse"):
        message_of(Event(id="x", type="job.created", key="job_1", data=b"\xff"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{job_id}", "job_1"),
        ("v{version}", "v0"),
        ("{media_id|job_id}:x", "job_1:x"),
        ("{job_id}[:v{version}]", "job_1"),
        ("{job_id}[:{late_at:ms}]", "job_1:1500"),
    ],
)
def test_a_template_is_filled_from_the_message(text: str, wanted: str) -> None:
    message = events_pb2.MediaDeleted(job_id="job_1", late_at=Timestamp(seconds=1, nanos=500_000_000))
    assert Template.parse(text, message.DESCRIPTOR).render(message) == wanted


@pytest.mark.parametrize(
    "text", ["", "{no_such_field}", "{job_id.name}", "{late_at}", "{job_id:ms}", "{job_id", "[:x"]
)
def test_a_template_that_cannot_be_filled_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"MediaDeleted"):
        Template.parse(text, events_pb2.MediaDeleted.DESCRIPTOR)
