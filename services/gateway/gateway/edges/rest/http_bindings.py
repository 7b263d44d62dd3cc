"""Finds every RPC of the contracts that has a route in REST, and reads how it is to be served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from gateway.core.auth.domain import Scope
from gateway.core.rest.domain.path_templates import Template, parse_template
from gateway.edges.rest.transcoding.binding import Rule
from gateway.edges.rest.transcoding.descriptors import HTTP_BODY, fields_of, message_of, rest_option, services
from rushes.common.v1.rest_pb2 import Rest

EMPTY = "google.protobuf.Empty"

_VERBS = ("get", "post", "put", "patch", "delete")
_JSON = "application/json"
_SCOPES = {
    Rest.SCOPE_UNSPECIFIED: Scope.ADMIN,  # what nobody has thought about is for operators alone
    Rest.SCOPE_NONE: None,
    Rest.SCOPE_READ: Scope.READ,
    Rest.SCOPE_WRITE: Scope.WRITE,
    Rest.SCOPE_ADMIN: Scope.ADMIN,
}


@dataclass(frozen=True)
class Binding:
    """One route of one RPC.

    Args:
        method: the RPC.
        verb: in capitals.
        rest: the RPC's option.
        additional: whether it is another route of an RPC that has a first one.
    """

    method: MethodDescriptor
    verb: str
    template: Template
    rule: Rule
    rest: Rest
    additional: bool

    @property
    def scope(self) -> Scope | None:
        """What a key must allow; None where no key is needed."""
        return _SCOPES[self.rest.scope]

    @property
    def status(self) -> int:
        """The status of a success."""
        return self.rest.success or (204 if self.method.output_type.full_name == EMPTY else 200)

    @property
    def consumes(self) -> tuple[str, ...]:
        """The media types that its request body may have; none without a body."""
        return tuple(self.rest.consumes) or ((_JSON,) if self.rule.body else ())

    @property
    def has_raw_body(self) -> bool:
        """Whether the body is taken as it is."""
        if self.rule.body in ("", "*"):
            return False
        field = fields_of(self.method.input_type)[self.rule.body]
        return field.message_type is not None and message_of(field).full_name == HTTP_BODY

    def reads_json(self, content_type: str) -> bool:
        """Whether a body of that type (in lower case; empty when unknown) is to be read as JSON.

        False where it is left to the handler. What is no JSON by its type is refused by whoever reads it.
        """
        if _JSON not in self.consumes or self.has_raw_body:
            return False
        return content_type == _JSON or content_type not in self.consumes

    def new_request(self) -> Any:
        """An empty request message."""
        return message_factory.GetMessageClass(self.method.input_type)()

    @property
    def response(self) -> type[Any]:
        """The class of the response message."""
        return message_factory.GetMessageClass(self.method.output_type)


@cache
def bindings() -> tuple[Binding, ...]:
    """Every route of every RPC, literal paths before those with a variable in the same place."""
    found = (each for service in services() for method in service.methods for each in _routes(method))
    return tuple(sorted(found, key=lambda binding: (binding.template.specificity, binding.verb)))


def binding_of(method: str) -> Binding:
    """The first route of an RPC by its full name, `rushes.gateway.v1.BytesService.GetAssetBytes`."""
    return next(each for each in bindings() if each.method.full_name == method and not each.additional)


def _routes(method: MethodDescriptor) -> Iterator[Binding]:
    option = method.GetOptions()
    if not option.HasExtension(annotations_pb2.http):
        return
    first = option.Extensions[annotations_pb2.http]
    for number, rule in enumerate([first, *first.additional_bindings]):
        verb = rule.WhichOneof("pattern")
        if verb not in _VERBS:
            raise ValueError(f"{method.full_name}: the HTTP verb {verb} is not supported")
        template = parse_template(getattr(rule, verb))
        bound = Rule(template.variables, rule.body)
        yield Binding(method, verb.upper(), template, bound, rest_option(method), additional=number > 0)
