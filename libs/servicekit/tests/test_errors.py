"""The closed set of kinds, and that every edge maps all of it."""

import grpc
import pytest

from servicekit.errors import ERRORS, RETRY, AppError, ErrorKind, FieldProblem, Invalid, Limited, Retry
from servicekit.events import ack_policy
from servicekit.grpc import status
from servicekit.http import problem

TABLES = {
    "errors.ERRORS": ERRORS,
    "errors.RETRY": RETRY,
    "grpc.status.STATUS": status.STATUS,
    "http.problem.STATUS": problem.STATUS,
    "events.ack_policy.POLICIES": ack_policy.POLICIES,
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ErrorKind)
def test_every_edge_maps_every_kind(name: str, kind: ErrorKind) -> None:
    assert kind in TABLES[name], f"{name} does not say what {kind} becomes"


def test_every_grpc_error_status_has_a_kind() -> None:
    assert set(status.KIND) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


def test_grpc_status_and_kind_agree_in_both_directions() -> None:
    assert [status.KIND[status.STATUS[kind]] for kind in ErrorKind] == list(ErrorKind)


def test_an_error_class_stands_for_each_kind() -> None:
    for kind, error in ERRORS.items():
        assert error("no").kind is kind
    assert set(ERRORS.values()) == set(AppError.__subclasses__())


def test_an_error_without_a_kind_cannot_be_raised() -> None:
    with pytest.raises(TypeError, match="subclass"):
        AppError("what?")


def test_an_error_carries_what_the_caller_needs() -> None:
    error = Limited("slow down", retry_after=2.5, code="rate", fields=[FieldProblem("a", "b")])
    assert (str(error), error.retry_after, error.code, error.fields) == (
        "slow down",
        2.5,
        "rate",
        (FieldProblem("a", "b"),),
    )
    assert error.retry is Retry.LATER
    assert Invalid("x").retry is Retry.NEVER


def test_an_error_of_one_field_names_it() -> None:
    error = Invalid.field("scenes[2].seconds", "must be at most 60")
    assert error.message == "scenes[2].seconds: must be at most 60"
    assert error.fields == (FieldProblem("scenes[2].seconds", "must be at most 60"),)
    assert Invalid.field("file", "is empty", sentence="The file is empty").message == "The file is empty"
