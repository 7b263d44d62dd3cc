"""What the contracts say of every route is deliberate, and the gateway knows no RPC of others by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

import gateway
from gateway.edges.rest.http_bindings import bindings
from gateway.edges.rest.rpc_routes import rpc_operations
from gateway.edges.rest.transcoding.descriptors import (
    fields_of,
    is_own,
    message_of,
    rest_option,
    rpc_method,
    services,
)
from rushes.common.v1.rest_pb2 import Rest

METHODS = [method for service in services() for method in service.methods]
OTHERS = [method for method in METHODS if not is_own(method.containing_service)]


@pytest.mark.parametrize("binding", bindings(), ids=lambda b: f"{b.verb} {b.template.text}")
def test_no_route_is_without_a_deliberate_scope(binding: Any) -> None:
    assert binding.rest.scope != Rest.SCOPE_UNSPECIFIED


def test_every_own_rpc_has_a_route_and_needs_a_handler() -> None:
    own = {method.full_name for method in METHODS if is_own(method.containing_service)}
    assert own == {b.method.full_name for b in bindings() if is_own(b.method.containing_service)}
    with pytest.raises(ValueError, match=r"nothing serves rushes\.gateway\.v1\."):
        rpc_operations(None, {})  # type: ignore[arg-type]  # calls nobody


@pytest.mark.parametrize("method", OTHERS, ids=lambda m: m.full_name)
def test_a_request_determines_its_rpc(method: MethodDescriptor) -> None:
    request = message_factory.GetMessageClass(method.input_type)()  # type: ignore[arg-type]  # stubs know two kinds
    assert rpc_method(request).path == f"/{method.containing_service.full_name}/{method.name}"


def test_no_rpc_of_another_service_stands_in_the_code() -> None:
    names = re.compile(rf"\b({'|'.join(method.name for method in OTHERS)})\b")
    found = {
        f"{path.name}: {match[0]}"
        for path in Path(gateway.__file__).parent.rglob("*.py")
        for match in names.finditer(path.read_text())
    }
    assert not found


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_options_name_what_is_there(method: MethodDescriptor) -> None:
    rest = rest_option(method)
    if rest.when.field:
        field = fields_of(method.output_type)[rest.when.field]
        assert field.enum_type is not None or field.type == field.TYPE_STRING
        assert rest.when.status
    for variable in re.findall(r"\{(\w+)\}", rest.token):
        assert variable in fields_of(method.input_type)
    if rest.produces:
        assert method.output_type.full_name == "google.api.HttpBody"
    http_bodies = [f for f in fields_of(method.input_type).values() if f.message_type is not None]
    assert all(
        message_of(field).full_name != "google.api.HttpBody" or is_own(method.containing_service)
        for field in http_bodies
    )
