"""Evaluates the templates with which the contracts build an event's key and id from its fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_TOKEN = re.compile(r"\{(?P<field>[a-z0-9_.|:]+)\}|\[(?P<optional>[^\[\]]+)\]|(?P<text>[^\[\]{}]+)")


@dataclass(frozen=True)
class _Field:
    """`{a.b|c:ms}`: the first path with a value; `milliseconds` of a timestamp."""

    paths: tuple[tuple[str, ...], ...]
    milliseconds: bool

    def render(self, message: Message) -> str:
        return next((text for path in self.paths if (text := self._text(message, path))), "")

    def _text(self, message: Message, path: tuple[str, ...]) -> str:
        *parents, name = path
        for parent in parents:
            message = getattr(message, parent)
        value = getattr(message, name)
        if isinstance(value, Timestamp):
            return str(value.ToMilliseconds()) if message.HasField(name) else ""
        return f"{value:g}" if isinstance(value, float) else str(value)

    def check(self, descriptor: Descriptor) -> None:
        for path in self.paths:
            where: Descriptor | None = descriptor
            field: FieldDescriptor | None = None
            for name in path:
                field = where.fields_by_name.get(name) if where is not None else None
                if field is None:
                    raise ValueError(f"{descriptor.full_name} has no field {'.'.join(path)}")
                where = field.message_type
            if (where is Timestamp.DESCRIPTOR) is not self.milliseconds:
                raise ValueError(f"{descriptor.full_name}: `:ms` is for timestamps, and they need it")


@dataclass(frozen=True)
class _Optional:
    """`[…]`: empty when one of its fields is empty or zero."""

    parts: tuple[str | _Field, ...]

    def render(self, message: Message) -> str:
        texts = [part if isinstance(part, str) else part.render(message) for part in self.parts]
        return "" if any(text in ("", "0") for text in texts) else "".join(texts)


@dataclass(frozen=True)
class Template:
    """A text with fields of a message in it; `event.proto` tells the form."""

    parts: tuple[str | _Field | _Optional, ...]

    @classmethod
    def parse(cls, text: str, descriptor: Descriptor) -> Template:
        """The template of a text.

        Raises:
            ValueError: the form is broken, or names a field that the message does not have.
        """
        return cls(tuple(_parts(text, descriptor)))

    def render(self, message: Message) -> str:
        """The text for a message.

        Raises:
            ValueError: a field outside brackets is empty. Two events would get the same id.
        """
        texts = []
        for part in self.parts:
            text = part if isinstance(part, str) else part.render(message)
            if not text and not isinstance(part, _Optional):
                raise ValueError(f"{message.DESCRIPTOR.full_name} lacks a value for its id or key: {part}")
            texts.append(text)
        return "".join(texts)


def _parts(text: str, descriptor: Descriptor) -> Iterator[str | _Field | _Optional]:
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() != end:
            break
        end = token.end()
        if token["text"]:
            yield token["text"]
        elif token["optional"]:
            inner = _parts(token["optional"], descriptor)
            yield _Optional(tuple(part for part in inner if not isinstance(part, _Optional)))
        else:
            names, _, form = token["field"].partition(":")
            field = _Field(tuple(tuple(path.split(".")) for path in names.split("|")), form == "ms")
            field.check(descriptor)
            yield field
    if end != len(text) or not text:
        raise ValueError(f"{descriptor.full_name}: {text!r} is no template")
