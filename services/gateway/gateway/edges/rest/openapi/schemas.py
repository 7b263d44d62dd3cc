"""Describes messages as JSON schemas: their fields, rules and comments, as `to_json` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.edges.rest.transcoding import descriptors as proto
from gateway.edges.rest.transcoding.comments import comments
from rushes.common.v1 import rules_pb2
from servicekit import ids

Schema = dict[str, Any]

_ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": _ANY_OBJECT,
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {"description": "Any JSON value."},
    "google.protobuf.Empty": {"type": "object", "additionalProperties": False},
    proto.HTTP_BODY: {"type": "string", "format": "binary"},
}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}


class Schemas:
    """Collects the schemas of messages and enums under `components/schemas`, each once."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def reference(self, message: Descriptor) -> Schema:
        """A reference to a message's schema, which is added with all it refers to."""
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = message.name
        if name not in self.components:
            self.components[name] = {}  # so that its own fields may refer to it
            self.components[name] = self._message(message, proto.fields_of(message))
        return {"$ref": f"#/components/schemas/{name}"}

    def body(self, message: Descriptor, without: tuple[str, ...], media_type: str) -> Schema:
        """The schema of a request body of that type: what of the message does not stand in the address."""
        fields = proto.fields_in(message, media_type)
        if not without and len(fields) == len(proto.fields_of(message)):
            return self.reference(message)
        schema = self._message(message, {name: f for name, f in fields.items() if name not in without})
        if media_type == proto.FORM:
            files = [name for name, field in fields.items() if field.type == FieldDescriptor.TYPE_BYTES]
            for name in files:
                description = schema["properties"][name]["description"]
                schema["properties"][name] = {**_WELL_KNOWN[proto.HTTP_BODY], "description": description}
        return schema

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field, with its comment and its rules."""
        schema = self._shape(field)
        if text := comments().get(field.full_name):
            schema = {**schema, "description": text}
        return schema

    def _message(self, message: Descriptor, fields: Mapping[str, FieldDescriptor]) -> Schema:
        is_request = message.name.endswith("Request") or any(_rules(field) for field in fields.values())
        # A response always has all its fields; a request needs those that its rules say.
        required = [
            name
            for name, field in fields.items()
            if not is_request or proto.is_source(field) or ((rules := _rules(field)) and rules.required)
        ]
        schema: Schema = {"type": "object", "properties": {n: self.field(f) for n, f in fields.items()}}
        if text := comments().get(message.full_name):
            schema["description"] = text
        if required:
            schema["required"] = required
        if is_request:
            schema["additionalProperties"] = False
        return schema

    def _shape(self, field: FieldDescriptor) -> Schema:
        rules = _rules(field)
        if proto.is_map(field):
            return {"type": "object", "additionalProperties": self._single(proto.map_fields(field)[1], None)}
        if not field.is_repeated:
            single = self._single(field, rules)
            return _nullable(single) if _may_be_null(field) else single
        schema: Schema = {"type": "array", "items": self._single(field, rules)}
        if rules is not None:
            schema.update({"maxItems": rules.max_items} if rules.HasField("max_items") else {})
            schema.update({"minItems": 1} if rules.required else {})
            schema.update({"uniqueItems": True} if rules.unique_items else {})
        return schema

    def _single(self, field: FieldDescriptor, rules: Any) -> Schema:
        if field.message_type is not None:
            return self.reference(proto.message_of(field))
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        schema = dict(_SCALARS[field.cpp_type])
        if field.type == FieldDescriptor.TYPE_BYTES:
            schema["contentEncoding"] = "base64"
        return {**schema, **_limits(field, rules)} if rules is not None else schema

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = enum.name
        if name not in self.components:
            texts = comments()
            values = {
                word: texts.get(f"{enum.full_name}.{enum.values_by_number[n].name}", "")
                for n, word in proto.words(enum).items()
            }
            lines = [f"- `{word}`: {text}" for word, text in values.items() if text]
            description = "\n".join([texts.get(enum.full_name, ""), "", *lines]).strip()
            self.components[name] = {"type": "string", "enum": list(values), "description": description}
        return {"$ref": f"#/components/schemas/{name}"}


def _rules(field: FieldDescriptor) -> Any | None:
    options = field.GetOptions()
    return options.Extensions[rules_pb2.rules] if options.HasExtension(rules_pb2.rules) else None


def _limits(field: FieldDescriptor, rules: Any) -> Schema:
    limits: Schema = {}
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        least = rules.min_len if rules.HasField("min_len") else int(rules.required and not field.is_repeated)
        limits.update({"minLength": least} if least else {})
        limits.update({"maxLength": rules.max_len} if rules.HasField("max_len") else {})
        if rules.id_kind:
            limits["pattern"] = f"^{ids.pattern(rules.id_kind)}$"
        elif rules.pattern:
            limits["pattern"] = f"^(?:{rules.pattern})$"
    limits.update({"minimum": _whole(rules.ge)} if rules.HasField("ge") else {})
    limits.update({"maximum": _whole(rules.le)} if rules.HasField("le") else {})
    return limits


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _may_be_null(field: FieldDescriptor) -> bool:
    return (field.has_presence or field.enum_type is not None) and not proto.is_source(field)


def _nullable(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "type" not in schema:
        return schema  # any value, null among them
    return {**schema, "type": [schema["type"], "null"]}
