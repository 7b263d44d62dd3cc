"""Every RPC of the contracts that has an address in REST, found in the descriptors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from gateway.core.rest.domain.path_templates import Template, parse
from gateway.core.rpc_call import Rpc
from gateway.edges.rest.transcoding.binding import Rule
from gateway.edges.rest.transcoding.descriptors import services

_VERBS = ("get", "post", "put", "patch", "delete")
_CREATED, _ACCEPTED, _NO_CONTENT = 201, 202, 204
_ACCEPTING = ("CreateGeneration", "BatchCreateGenerations")
"""RPCs whose answer is a promise: the work itself comes later."""

EMPTY = "google.protobuf.Empty"


@dataclass(frozen=True)
class Binding:
    """One address of one RPC."""

    rpc: Rpc[Any, Any]
    descriptor: MethodDescriptor
    verb: str
    template: Template
    rule: Rule
    additional: bool
    """Whether it is another address of an RPC that has a first one."""

    @property
    def status(self) -> int:
        """What a success answers: 201 for a create, 202 for promised work, 204 where nothing is left."""
        name = self.descriptor.name
        if name in _ACCEPTING:
            return _ACCEPTED
        if self.descriptor.output_type.full_name == EMPTY:
            return _NO_CONTENT
        return _CREATED if self.verb == "POST" and name.startswith("Create") else 200


def bindings() -> list[Binding]:
    """Every address of every RPC, literal paths before those with a variable in the same place."""
    found = [binding for service in services() for binding in of_service(service)]
    return sorted(found, key=lambda binding: (binding.template.specificity, binding.verb))


def of_service(service: ServiceDescriptor) -> Iterator[Binding]:
    """The addresses of a service's RPCs."""
    for method in service.methods:
        option = method.GetOptions()
        if option.HasExtension(annotations_pb2.http):
            rule = option.Extensions[annotations_pb2.http]
            rpc = Rpc(
                f"/{service.full_name}/{method.name}",
                message_factory.GetMessageClass(method.input_type),
                message_factory.GetMessageClass(method.output_type),
            )
            yield from _addresses(rpc, method, [rule, *rule.additional_bindings])


def _addresses(rpc: Rpc[Any, Any], method: MethodDescriptor, rules: Iterable[Any]) -> Iterator[Binding]:
    for number, rule in enumerate(rules):
        verb = rule.WhichOneof("pattern")
        if verb not in _VERBS:
            raise ValueError(f"{method.full_name}: the HTTP verb {verb} is not supported")
        template = parse(getattr(rule, verb))
        bound = Rule(template.variables, rule.body)
        yield Binding(rpc, method, verb.upper(), template, bound, additional=number > 0)
