"""Checks requests against the `(rushes.common.v1.rules)` options of their fields.

The option's message is found by its name in the default descriptor pool, so that this library needs no
contract. Its fields: required, min_len, max_len, ge, le, max_items, id_kind, pattern, unique_items.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from servicekit.errors import FieldProblem, Invalid
from servicekit.ids import check_id

EXTENSION = "rushes.common.v1.rules"

# Well-known types (Struct above all) hold data, not fields of ours.
_FOREIGN = "google.protobuf."
_SHOWN_PROBLEMS = 3

_Check = Callable[[Any], str | None]


def check(message: Message) -> None:
    """Check a message and all that it holds against the rules of its fields.

    A field that has presence and is unset is only checked for `required`. In a field without presence the
    zero value is a value: `ge` and `min_len` judge it, `pattern` and `id_kind` pass over an empty string.
    Rules of a repeated field or a map judge each element, but for required, max_items and unique_items.

    Raises:
        Invalid: with a `FieldProblem` for every rule that is broken, named by path (`scenes[2].seconds`).
    """
    problems = list(_problems(message, ""))
    if problems:
        shown = "; ".join(f"{problem.field} {problem.message}" for problem in problems[:_SHOWN_PROBLEMS])
        more = len(problems) - _SHOWN_PROBLEMS
        raise Invalid(shown + (f"; and {more} more" if more > 0 else ""), fields=problems)


def ids_of(message: Message) -> dict[str, str]:
    """The ids of records in a message's own fields by their kind: `{"job_id": "job_…"}`.

    A field holds an id when its rules name a kind; of several of one kind the first counts.
    """
    return {key: getattr(message, name) for key, name in _id_fields(message.DESCRIPTOR)}


@cache
def _id_fields(descriptor: Descriptor) -> tuple[tuple[str, str], ...]:
    """The keys of `ids_of`, and the fields that they stand for."""
    found: dict[str, str] = {}
    for field in descriptor.fields:
        rules = _rules(field)
        if rules is not None and rules.id_kind and not field.is_repeated:
            found.setdefault(f"{rules.id_kind}_id", field.name)
    return tuple(found.items())


@dataclass(frozen=True)
class _Plan:
    """What to check about one field of a message."""

    name: str
    presence: bool
    repeated: bool
    map: bool
    message: bool
    """Its elements (or a map's values) are messages, which are checked too."""
    required: bool
    max_items: int | None
    unique: bool
    value: tuple[_Check, ...]


def _problems(message: Message, path: str) -> Iterator[FieldProblem]:
    for plan in _plans(message.DESCRIPTOR):
        where = path + plan.name
        value = getattr(message, plan.name)
        if plan.repeated:
            yield from _list_problems(plan, where, value)
            yield from _element_problems(plan, where, value)
        elif plan.presence and not message.HasField(plan.name):
            if plan.required:
                yield FieldProblem(where, "is required")
        elif plan.required and not plan.message and not value:
            yield FieldProblem(where, "is required")
        else:
            yield from _value_problems(plan, where, value)


def _list_problems(plan: _Plan, where: str, value: Any) -> Iterator[FieldProblem]:
    if plan.required and not value:
        yield FieldProblem(where, "is required")
    if plan.max_items is not None and len(value) > plan.max_items:
        yield FieldProblem(where, f"must have at most {plan.max_items} items, and has {len(value)}")
    if plan.unique:
        seen: set[object] = set()
        for number, item in enumerate(value):
            key = item.SerializeToString(deterministic=True) if isinstance(item, Message) else item
            if key in seen:
                yield FieldProblem(f"{where}[{number}]", "is there twice")
            seen.add(key)


def _element_problems(plan: _Plan, where: str, value: Any) -> Iterator[FieldProblem]:
    if not plan.message and not plan.value:
        return
    items = ((f'"{key}"', value[key]) for key in sorted(value)) if plan.map else enumerate(value)
    for key, item in items:
        yield from _value_problems(plan, f"{where}[{key}]", item)


def _value_problems(plan: _Plan, where: str, value: Any) -> Iterator[FieldProblem]:
    if plan.message:
        yield from _problems(value, where + ".")
    for rule in plan.value:
        if message := rule(value):
            yield FieldProblem(where, message)


@cache
def _plans(descriptor: Descriptor) -> tuple[_Plan, ...]:
    """The checks of a message type's fields, without those that have nothing to check."""
    plans = (_plan(field) for field in descriptor.fields)
    return tuple(plan for plan in plans if plan is not None)


def _plan(field: FieldDescriptor) -> _Plan | None:
    nested, is_map = field.message_type, False
    if nested is not None and nested.GetOptions().map_entry:
        nested, is_map = nested.fields_by_name["value"].message_type, True
    rules = _rules(field)
    descend = nested is not None and not nested.full_name.startswith(_FOREIGN)
    if rules is None and not descend:
        return None
    return _Plan(
        name=field.name,
        presence=field.has_presence,
        repeated=field.is_repeated,
        map=is_map,
        message=descend,
        required=rules is not None and rules.required,
        max_items=rules.max_items if _given(rules, "max_items") else None,
        unique=rules is not None and rules.unique_items,
        value=_value_checks(rules) if rules is not None else (),
    )


def _rules(field: FieldDescriptor) -> Any:
    """The field's rules message, or None when it has none (or no rules are defined at all)."""
    try:
        extension: Any = descriptor_pool.Default().FindExtensionByName(EXTENSION)
    except KeyError:  # no contract with rules is loaded, so no field can have any
        return None
    options = field.GetOptions()
    return options.Extensions[extension] if options.HasExtension(extension) else None


def _given(rules: Any, name: str) -> bool:
    """Whether a rule is set; where its field has no presence, zero and "" mean that it is not."""
    if rules is None:
        return False
    if rules.DESCRIPTOR.fields_by_name[name].has_presence:
        return bool(rules.HasField(name))
    return bool(getattr(rules, name))


def _value_checks(rules: Any) -> tuple[_Check, ...]:
    return tuple(make(getattr(rules, name)) for name, make in _CHECKS.items() if _given(rules, name))


def _at_least_long(least: int) -> _Check:
    return lambda value: None if len(value) >= least else f"must have at least {_units(least, value)}"


def _at_most_long(most: int) -> _Check:
    return lambda value: (
        None if len(value) <= most else f"must have at most {_units(most, value)}, and has {len(value)}"
    )


def _units(number: int, value: str | bytes) -> str:
    unit = "character" if isinstance(value, str) else "byte"
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _at_least(least: float) -> _Check:
    # Written so that NaN, which is neither more nor less, is refused.
    return lambda value: None if value >= least else f"must be at least {_number(least)}, and is {value:g}"


def _at_most(most: float) -> _Check:
    return lambda value: None if value <= most else f"must be at most {_number(most)}, and is {value:g}"


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


def _id(kind: str) -> _Check:
    def judge(value: str) -> str | None:
        try:
            if value:
                check_id(value, kind)
        except Invalid as error:
            return error.fields[0].message
        return None

    return judge


def _pattern(pattern: str) -> _Check:
    compiled = re.compile(pattern)
    return lambda value: None if not value or compiled.fullmatch(value) else f"must match {pattern}"


_CHECKS: dict[str, Callable[[Any], _Check]] = {
    "min_len": _at_least_long,
    "max_len": _at_most_long,
    "ge": _at_least,
    "le": _at_most,
    "id_kind": _id,
    "pattern": _pattern,
}
