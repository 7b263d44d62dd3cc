"""Fills a request message from a request's path, query, headers and body, as the contracts say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.core.problems.domain import MOST_PROBLEMS, refuse_if_any, shorten, unknown_name
from gateway.edges.http.request_body import parse_json
from gateway.edges.rest.transcoding.descriptors import FORM, fields_in, fields_of, message_of
from gateway.edges.rest.transcoding.from_json import fill, set_field
from rushes.common.v1 import rest_pb2
from servicekit.errors import FieldProblem, Invalid

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_IN_TEXT = ("google.protobuf.Timestamp",)
"""Messages that can be written in a path or a query."""


@dataclass(frozen=True)
class Rule:
    """What of a request goes where.

    Args:
        variables: the fields bound to the path, in the order of its variables; with dots for nested ones.
        body: "*" for every other field, the name of one field, or "" for no body.
    """

    variables: tuple[str, ...]
    body: str


def bind(
    message: Message,
    rule: Rule,
    *,
    path: Mapping[str, str],
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: Any | None,
) -> None:
    """Fill the request message.

    Args:
        message: empty before.
        path: the values of the path's variables, decoded.
        query: the parameters in order, decoded; empty values count as left out.
        headers: any case; those that a field names override its query parameter.
        body: the JSON value of the body, or None without one.

    Raises:
        Invalid: with a problem for each field that is unknown, of the wrong type, or given twice.
    """
    problems: list[FieldProblem] = []
    if body is not None and rule.body:
        problems += itertools.islice(_bind_body(message, rule, path, body), MOST_PROBLEMS)
    problems += _bind_query(message, rule, query)
    for header, field in header_fields(message.DESCRIPTOR).items():
        if text := headers.get(header, "").strip():
            problems += (
                FieldProblem(header, each.message) for each in _set_text(message, field.name, [text])
            )
    for name, text in path.items():
        problems += _set_text(message, name, [text])
    refuse_if_any(problems)


def bind_form(message: Message, parts: Iterable[tuple[str, str]]) -> None:
    """Fill the request message from the text fields of a form.

    A list may be repeated, separated by commas, or one JSON list; an object is JSON. Empty values count as
    left out.

    Raises:
        Invalid: naming each field that is unknown, given twice, or unreadable.
    """
    known = fields_in(message.DESCRIPTOR, FORM)
    problems: list[FieldProblem] = []
    given: dict[str, list[str]] = {}
    for name, text in parts:
        given.setdefault(name, []).append(text)
    for name, texts in given.items():
        if name not in known:
            problems.append(FieldProblem(shorten(name), unknown_name("field", name, known)))
        elif present := [text for text in texts if text.strip()]:
            problems += _set_form_field(message, known[name], present)
    refuse_if_any(problems)


def query_fields(message: Any, rule: Rule, prefix: str = "") -> dict[str, FieldDescriptor]:
    """Every name that may stand in the query, nested ones with dots."""
    if rule.body == "*":
        return {}
    found: dict[str, FieldDescriptor] = {}
    for field in fields_of(message).values():
        name = prefix + field.name
        if name in rule.variables or name == rule.body:
            continue
        if field.message_type is None or field.message_type.full_name in _IN_TEXT:
            found[name] = field
        elif not field.is_repeated and not field.message_type.full_name.startswith("google.protobuf."):
            found.update(query_fields(message_of(field), rule, name + "."))
    return found


def header_fields(message: Any) -> dict[str, FieldDescriptor]:
    """The fields that a header may carry, by the header's name."""
    options = ((field, field.GetOptions()) for field in fields_of(message).values())
    return {
        option.Extensions[rest_pb2.header]: field
        for field, option in options
        if option.HasExtension(rest_pb2.header)
    }


def _bind_body(message: Message, rule: Rule, path: Mapping[str, str], body: Any) -> Iterator[FieldProblem]:
    if rule.body != "*":
        field = fields_of(message.DESCRIPTOR)[rule.body]
        yield from set_field(message, field, body, rule.body)
        return
    if isinstance(body, dict):
        for name in rule.variables:
            if name in body and body[name] not in (None, path[name]):
                yield FieldProblem(name, f"stands in the address already, as {shorten(path[name])!r}")
        body = {name: value for name, value in body.items() if name not in rule.variables}
    yield from fill(message, body, "")


def _bind_query(message: Message, rule: Rule, query: Iterable[tuple[str, str]]) -> Iterator[FieldProblem]:
    known = query_fields(message.DESCRIPTOR, rule)
    given: dict[str, list[str]] = {}
    for name, text in query:
        given.setdefault(name, []).append(text)
    for name, texts in given.items():
        if name not in known:
            yield FieldProblem(shorten(name), unknown_name("query parameter", name, known))
        elif present := [text for text in texts if text]:
            yield from _set_text(message, name, present)


def _set_form_field(message: Message, field: FieldDescriptor, texts: list[str]) -> Iterable[FieldProblem]:
    name = field.name
    try:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return [FieldProblem(name, "must be a file: send it with a file name")]
        if field.is_repeated:
            return list(set_field(message, field, [item for text in texts for item in _items(text)], name))
        if field.message_type is not None and len(texts) == 1:
            return list(set_field(message, field, _json(texts[0], dict, '{"room": "kitchen"}'), name))
    except ValueError as error:
        return [FieldProblem(name, str(error))]
    return _set_text(message, name, texts)


def _items(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        items = text.split(",")
    else:
        items = _json(text, list, '["a", "b"], or words with commas between them')
        if not all(isinstance(item, str) for item in items):
            raise ValueError("must be a JSON list of texts, or words with commas between them")
    return [item.strip() for item in items if item.strip()]


def _json(text: str, kind: type[Any], example: str) -> Any:
    try:
        value = parse_json(text.encode())
    except Invalid:
        value = None
    if not isinstance(value, kind):
        name = "object" if kind is dict else "list of texts"
        raise ValueError(f"must be a JSON {name} such as {example}")  # noqa: TRY004  # what was sent is a text
    return value


def _set_text(message: Message, name: str, texts: list[str]) -> Iterable[FieldProblem]:
    *outer, last = name.split(".")
    for part in outer:
        message = getattr(message, part)
        message.SetInParent()
    field = fields_of(message.DESCRIPTOR)[last]
    if field.is_repeated:
        return list(set_field(message, field, [_typed(field, text) for text in texts], name))
    if len(texts) > 1:
        return [FieldProblem(name, f"stands {len(texts)} times; once is enough")]
    return list(set_field(message, field, _typed(field, texts[0]), name))


def _typed(field: FieldDescriptor, text: str) -> Any:
    """The JSON value that a text stands for; the text itself when it fits no number or bool."""
    if field.enum_type is not None or field.message_type is not None:
        return text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _BOOLS.get(text.lower(), text)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return float(text) if _NUMBER.fullmatch(text) else text
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text
