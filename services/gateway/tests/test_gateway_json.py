"""Messages to JSON and back, as properties over messages of the contracts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.problems.domain import refuse_if_any
from gateway.edges.live.events_json import event_json
from gateway.edges.rest.transcoding.descriptors import (
    fields_in,
    fields_of,
    is_map,
    map_fields,
    message_of,
    services,
    words,
)
from gateway.edges.rest.transcoding.from_json import fill
from gateway.edges.rest.transcoding.to_json import to_json
from rushes.catalog.v1 import generations_pb2, jobs_pb2
from rushes.events.v1 import events_pb2
from rushes.generator.v1 import models_pb2, webhooks_pb2
from servicekit.errors import Invalid
from servicekit.events import Event

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
# Minus zero is shown as 0: in JSON nobody means more by it.
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
}


def from_json(value: Any, message: Any, *, at: str = "") -> None:
    refuse_if_any(list(fill(message, value, at)))


def _single(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _message(message_of(field), depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([0, *words(field.enum_type)])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return INTEGERS.get(field.cpp_type, st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def _message(draw: Any, descriptor: Any, depth: int = 3) -> Any:
    message = message_factory.GetMessageClass(descriptor)()
    name = descriptor.full_name
    if name == "google.protobuf.Struct":
        from_json(draw(st.dictionaries(TEXTS, JSONS, max_size=3)), message)
    elif name == "google.protobuf.Value":
        from_json(draw(JSONS), message)
    elif name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = (
            draw(st.integers(-(10**10), 10**11)),
            draw(st.integers(0, 999_999_999)),
        )
    else:
        for field in fields_of(descriptor).values():
            if depth > 0 and draw(st.booleans()):
                _set(draw, message, field, depth)
    return message


def _set(draw: Any, message: Any, field: FieldDescriptor, depth: int) -> None:
    if is_map(field):
        entries, value_field = getattr(message, field.name), map_fields(field)[1]
        for name, item in draw(st.dictionaries(TEXTS, _single(value_field, depth), max_size=2)).items():
            if value_field.message_type is not None:
                entries[name].CopyFrom(item)
            else:
                entries[name] = item
    elif field.is_repeated:
        # An unspecified word in a list is null, which stands for nothing: no one writes that.
        items = [
            i for i in draw(st.lists(_single(field, depth), max_size=2)) if not (field.enum_type and i == 0)
        ]
        getattr(message, field.name).extend(items)
    elif field.message_type is not None:
        value = draw(_single(field, depth))
        # Null leaves a field unset: a Value that holds null is the one thing that cannot come back.
        if not (isinstance(value, Value) and value.WhichOneof("kind") in (None, "null_value")):
            getattr(message, field.name).CopyFrom(value)
            getattr(message, field.name).SetInParent()
    elif not (field.enum_type is not None and field.has_presence):
        setattr(message, field.name, draw(_single(field, depth)))


MESSAGES = {
    message
    for service in services()
    for method in service.methods
    for message in (method.input_type, method.output_type)
    if len(fields_in(message, "application/json")) == len(fields_of(message))  # the others come as a form
}


@pytest.mark.parametrize("descriptor", sorted(MESSAGES, key=lambda d: d.full_name), ids=lambda d: d.name)
def test_every_message_of_every_service_round_trips(descriptor: Any) -> None:
    @settings(max_examples=8, deadline=None, database=None)
    @given(_message(descriptor))
    def check(message: Any) -> None:
        text = json.dumps(to_json(message), allow_nan=False)
        back = type(message)()
        from_json(json.loads(text), back)
        assert to_json(back) == to_json(message)
        assert back == message

    check()


@given(st.dictionaries(TEXTS, JSONS, max_size=4))
def test_structs_hold_plain_json_and_whole_numbers_stay_whole(value: dict[str, Any]) -> None:
    message = Struct()
    from_json(value, message)
    back = to_json(message)
    assert back == value

    def same_kinds(one: Any, other: Any) -> None:
        if isinstance(one, dict):
            for key, item in one.items():
                same_kinds(item, other[key])
        elif isinstance(one, list):
            for a, b in zip(one, other, strict=True):
                same_kinds(a, b)
        elif isinstance(one, int):
            assert type(other) is type(one)

    same_kinds(value, back)


@given(JSONS)
def test_nothing_but_invalid_is_raised(value: Any) -> None:
    for message in (
        jobs_pb2.CreateJobRequest(),
        generations_pb2.Generation(),
        webhooks_pb2.ReceiveWebhookRequest(),
    ):
        for name in (None, *fields_of(message.DESCRIPTOR)):
            problems = _problems(value if name is None else {name: value}, type(message)())
            assert problems is None or problems


def _problems(value: Any, message: Any) -> Any:
    """The problems, or None without any."""
    try:
        from_json(value, message)
    except Invalid as error:
        return error.fields
    return None


def test_problems_are_reported_but_not_a_million() -> None:
    with pytest.raises(Invalid) as raised:
        from_json({f"x{n}": n for n in range(1000)}, jobs_pb2.CreateJobRequest())
    assert len(raised.value.fields) == 20


def test_words_and_nulls() -> None:
    generation = generations_pb2.Generation(status="GENERATION_STATUS_COMPLETED", cost_cents=2)
    shown = to_json(generation)
    assert (shown["status"], shown["stage"], shown["error"], shown["progress"]) == (
        "completed",
        None,
        None,
        None,
    )
    assert shown["media"] == []
    parameter = models_pb2.Parameter(
        default=Value(number_value=5), enum=[Value(string_value="a"), Value(null_value=0)]
    )
    assert to_json(parameter)["default"] == 5
    assert to_json(parameter)["enum"] == ["a", None]
    assert to_json(models_pb2.Parameter())["default"] is None
    assert to_json(models_pb2.Parameter(maximum=float("inf")))["maximum"] is None
    assert to_json(Timestamp(seconds=0)) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "now", 5, ""])
def test_times_without_a_zone_or_sense_are_refused(text: Any) -> None:
    with pytest.raises(Invalid, match="RFC 3339"):
        from_json(text, Timestamp(), at="expires_at")


def test_events_never_show_the_providers_addresses() -> None:
    secret = "https://replicate.delivery/xezq/abc/out.mp4"
    succeeded = events_pb2.PredictionSucceeded(outputs=[events_pb2.Output(index=0, source_url=secret)])
    failed = events_pb2.DownloadFailed()
    failed.error.message = f"could not fetch {secret}: 404"
    for type_, message in (("prediction.succeeded", succeeded), ("download.failed", failed)):
        shown = json.dumps(event_json(Event(id="x", type=type_, key="x", data=message.SerializeToString())))
        assert "out.mp4" not in shown
        assert "source_url" not in shown
    assert event_json(Event(id="x", type="no.such", key="x")) is None
    assert event_json(Event(id="x", type="job.created", key="x", data=b"\xff\xff")) is None
