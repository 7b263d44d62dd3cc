"""A request's path, query and body into one request message, as `google.api.http` says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.core.problems.domain.field_problems import MOST, refuse
from gateway.core.problems.domain.suggestions import shown, unknown
from gateway.edges.rest.transcoding.descriptors import fields_of, message_of
from gateway.edges.rest.transcoding.from_json import fill, set_field
from servicekit.errors import FieldProblem

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
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
    path: Mapping[str, str],
    query: Iterable[tuple[str, str]],
    body: Any | None,
) -> None:
    """Fill the request message.

    Args:
        message: empty before.
        rule: what goes where.
        path: the values of the path's variables, decoded.
        query: the parameters in order, decoded; empty values count as left out.
        body: the JSON value of the body, or None without one.

    Raises:
        Invalid: with a problem for each field that is unknown, of the wrong type, or said twice.
    """
    problems: list[FieldProblem] = []
    if body is not None and rule.body:
        problems += itertools.islice(_bind_body(message, rule, path, body), MOST)
    problems += _bind_query(message, rule, query)
    for name, text in path.items():
        problems += _set_text(message, name, [text])
    refuse(problems)


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


def _bind_body(message: Message, rule: Rule, path: Mapping[str, str], body: Any) -> Iterable[FieldProblem]:
    if rule.body != "*":
        field = fields_of(message.DESCRIPTOR)[rule.body]
        yield from set_field(message, field, body, rule.body)
        return
    if isinstance(body, dict):
        for name in rule.variables:
            if name in body and body[name] not in (None, path[name]):
                yield FieldProblem(name, f"stands in the address already, as {shown(path[name])!r}")
        body = {name: value for name, value in body.items() if name not in rule.variables}
    yield from fill(message, body, "")


def _bind_query(message: Message, rule: Rule, query: Iterable[tuple[str, str]]) -> Iterable[FieldProblem]:
    known = query_fields(message.DESCRIPTOR, rule)
    given: dict[str, list[str]] = {}
    for name, text in query:
        given.setdefault(name, []).append(text)
    for name, texts in given.items():
        if name not in known:
            yield FieldProblem(shown(name), unknown("query parameter", name, known))
        elif present := [text for text in texts if text]:
            yield from _set_text(message, name, present)


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
