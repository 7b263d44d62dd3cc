"""Field rules: every one that is broken is told, by its path."""

import importlib
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import Invalid
from servicekit.grpc.rules import check, ids_of
from servicekit.ids import new_id

contract: Any = importlib.import_module("rushes.common.v1.rules_pb2")

PACKAGE = "servicekit.tests.rules"
TYPES = {
    "string": Field.TYPE_STRING,
    "double": Field.TYPE_DOUBLE,
    "int32": Field.TYPE_INT32,
    "bytes": Field.TYPE_BYTES,
}


def declare(
    holder: Any, name: str, kind: str, *, many: bool = False, optional: bool = False, **rules: Any
) -> None:
    field = holder.field.add(name=name, number=len(holder.field) + 1)
    field.label = Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL
    if kind in TYPES:
        field.type = TYPES[kind]
    else:
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}" if "." not in kind else kind
    if optional:
        field.proto3_optional = True
        field.oneof_index = len(holder.oneof_decl)
        holder.oneof_decl.add(name=f"_{name}")
    if rules:
        field.options.Extensions[contract.rules].CopyFrom(contract.Rules(**rules))


def build() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="servicekit_tests_rules.proto", package=PACKAGE, syntax="proto3"
    )
    file.dependency.extend(["rushes/common/v1/rules.proto", struct_pb2.DESCRIPTOR.name])
    scene = file.message_type.add(name="Scene")
    declare(scene, "seconds", "double", ge=1, le=60)
    declare(scene, "caption", "string", optional=True, min_len=2, max_len=5)
    plan = file.message_type.add(name="Plan")
    declare(plan, "name", "string", required=True, max_len=10)
    declare(plan, "job_id", "string", id_kind="job")
    declare(plan, "scenes", "Scene", many=True, max_items=2)
    declare(plan, "first", "Scene", required=True)
    declare(plan, "tags", "string", many=True, unique_items=True, min_len=1)
    declare(plan, "code", "string", pattern="[a-z]+")
    declare(plan, "zero", "int32", optional=True, ge=0, le=0)
    declare(plan, "raw", "bytes", max_len=3)
    entry = plan.nested_type.add(name="NamedEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    declare(entry, "key", "string")
    declare(entry, "value", "Scene")
    declare(plan, "named", "Plan.NamedEntry", many=True)
    plan.field[-1].type_name = f".{PACKAGE}.Plan.NamedEntry"
    declare(plan, "input", ".google.protobuf.Struct")
    declare(plan, "inner", "Plan")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in ("Plan", "Scene")
    )  # type: ignore[return-value]


Plan, Scene = build()


def good(**more: Any) -> Any:
    return Plan(**({"name": "n", "first": Scene(seconds=1)} | more))


def problems(message: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        check(message)
    return {problem.field: problem.message for problem in caught.value.fields}


def test_a_message_within_its_rules_passes() -> None:
    check(good(job_id=new_id("job"), tags=["a", "b"], code="abc", zero=0, raw=b"abc", inner=good()))
    check(good(input={"any": [1, None, {"deep": "x" * 100}]}))


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"name": ""}, "name", "is required"),
        ({"name": "n" * 11}, "name", "must have at most 10 characters, and has 11"),
        ({"first": None}, "first", "is required"),
        ({"first": Scene()}, "first.seconds", "must be at least 1, and is 0"),
        ({"first": Scene(seconds=float("nan"))}, "first.seconds", "must be at most 60, and is nan"),
        ({"first": Scene(seconds=1, caption="")}, "first.caption", "must have at least 2 characters"),
        (
            {"job_id": "job_1"},
            "job_id",
            "'job_1' is not a job id: job_ and a ULID of 26 characters in upper case",
        ),
        ({"scenes": [Scene(seconds=2)] * 3}, "scenes", "must have at most 2 items, and has 3"),
        (
            {"scenes": [Scene(seconds=2), Scene(seconds=61)]},
            "scenes[1].seconds",
            "must be at most 60, and is 61",
        ),
        ({"tags": ["a", "b", "a"]}, "tags[2]", "is there twice"),
        ({"tags": ["a", ""]}, "tags[1]", "must have at least 1 character"),
        ({"code": "abc\n"}, "code", "must match [a-z]+"),
        ({"zero": 1}, "zero", "must be at most 0, and is 1"),
        ({"raw": b"abcd"}, "raw", "must have at most 3 bytes, and has 4"),
        ({"named": {"k": Scene(seconds=0.5)}}, 'named["k"].seconds', "must be at least 1, and is 0.5"),
        ({"inner": good(first=Scene())}, "inner.first.seconds", "must be at least 1, and is 0"),
    ],
)
def test_each_rule_names_the_field_and_the_limit(more: dict[str, Any], field: str, message: str) -> None:
    assert problems(good(**more)) == {field: message}


def test_all_problems_are_reported_at_once() -> None:
    wrong = Plan(scenes=[Scene(), Scene(seconds=99)], tags=["", ""])
    assert list(problems(wrong)) == [
        "name", "scenes[0].seconds", "scenes[1].seconds", "first", "tags[1]", "tags[0]",
    ]  # fmt: skip
    with pytest.raises(Invalid, match=r"name is required; scenes\[0\].seconds must .*; and 4 more"):
        check(wrong)


@given(st.floats(), st.text())
def test_no_value_breaks_the_check(seconds: float, caption: str) -> None:
    fine = 1 <= seconds <= 60 and 2 <= len(caption) <= 5
    message = good(first=Scene(seconds=seconds, caption=caption))
    if fine:
        check(message)
    else:
        assert problems(message)


def test_ids_are_found_by_their_rules() -> None:
    assert ids_of(Plan(job_id="job_1", name="x")) == {"job_id": "job_1"}
    assert ids_of(Scene()) == {}
