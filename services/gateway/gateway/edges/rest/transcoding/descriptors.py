"""Finds what the gateway reads in the contracts: services, options, fields, the image with the comments."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.core.rpc_call import RpcMethod
from rushes.common.v1 import rest_pb2

FORM = "multipart/form-data"
HTTP_BODY = "google.api.HttpBody"


@cache
def image() -> FileDescriptorSet:
    """Every proto file of the contracts, with the places of their comments."""
    data = (resources.files("rushes") / "contracts.binpb").read_bytes()
    return FileDescriptorSet.FromString(data)


def services() -> Iterator[ServiceDescriptor]:
    """Every service of the contracts."""
    for file in image().file:
        if file.name.startswith("rushes/") and file.service:
            module = importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            yield from module.DESCRIPTOR.services_by_name.values()


def is_own(service: ServiceDescriptor) -> bool:
    """Whether the gateway serves it itself: over HTTP alone, so that its RPCs cannot be called."""
    return service.full_name.startswith("rushes.gateway.")


def rest_option(method: MethodDescriptor) -> rest_pb2.Rest:
    """How the gateway serves an RPC."""
    return method.GetOptions().Extensions[rest_pb2.rest]


def rpc_method(request: Any) -> RpcMethod:
    """The one RPC that takes such a request message.

    Raises:
        KeyError: there is none.
    """
    return _methods_by_request()[request.DESCRIPTOR.full_name]


@cache
def _methods_by_request() -> dict[str, RpcMethod]:
    methods: dict[str, RpcMethod] = {}
    for service in services():
        for method in () if is_own(service) else service.methods:
            name = method.input_type.full_name
            if name in methods:
                raise ValueError(f"{name} is the request of {methods[name].path} and of {method.full_name}")
            deadline = rest_option(method).deadline_s or None
            methods[name] = RpcMethod(f"/{service.full_name}/{method.name}", deadline)
    return methods


@cache
def fields_of(descriptor: Any) -> Mapping[str, FieldDescriptor]:
    """A message type's fields by name, in order of declaration."""
    return {field.name: field for field in descriptor.fields}


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type that a field contains."""
    descriptor: Any = field.message_type
    return descriptor  # type: ignore[no-any-return]  # protobuf's stubs know two kinds of descriptors


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def map_fields(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """The key and the value of a map field."""
    entry = fields_of(message_of(field))
    return entry["key"], entry["value"]


def is_source(field: FieldDescriptor) -> bool:
    """Whether the field shares a oneof with bytes: a form carries the bytes, JSON the other fields."""
    oneof = field.containing_oneof
    if oneof is None or len(oneof.fields) == 1:
        return False
    return any(each.type == FieldDescriptor.TYPE_BYTES for each in oneof.fields)


@cache
def fields_in(descriptor: Any, media_type: str) -> Mapping[str, FieldDescriptor]:
    """The fields that a body of that type may carry."""
    in_form = media_type == FORM
    return {
        name: field
        for name, field in fields_of(descriptor).items()
        if not is_source(field) or (field.type == FieldDescriptor.TYPE_BYTES) == in_form
    }


@cache
def words(enum: EnumDescriptor) -> dict[int, str]:
    """The words of an enum by number: lower case, without the prefix, without the unspecified zero."""
    first: str = enum.values[0].name
    prefix = first.removesuffix("UNSPECIFIED") if first.endswith("_UNSPECIFIED") else ""
    return {
        value.number: value.name.removeprefix(prefix).lower()
        for value in enum.values
        if not (value.number == 0 and prefix)
    }
