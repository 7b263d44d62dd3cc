"""The generated contracts as descriptors: their services, their fields, and the image with the comments."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet


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


def fields_of(descriptor: Any) -> Mapping[str, FieldDescriptor]:
    """A message type's fields by name, in order of declaration."""
    return {field.name: field for field in _ordered(descriptor)}


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type that a field holds."""
    held: Any = field.message_type
    return held  # type: ignore[no-any-return]  # protobuf's stubs know two kinds of descriptors


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def map_fields(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """The key and the value of a map field."""
    entry = fields_of(message_of(field))
    return entry["key"], entry["value"]


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


@cache
def _ordered(descriptor: Any) -> tuple[FieldDescriptor, ...]:
    return tuple(descriptor.fields)
