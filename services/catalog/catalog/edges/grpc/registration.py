"""Registers servicers with a gRPC server under the names that their contracts give them."""

from __future__ import annotations

import sys

from servicekit.grpc.server import Service

_BASE_SUFFIX = "ServiceServicer"
"""How the classes are called that the contracts generate for servicers."""


def registrations(*servicers: object) -> list[Service]:
    return [_registration(servicer) for servicer in servicers]


def _registration(servicer: object) -> Service:
    """For a subclass of `rushes.catalog.v1.jobs_pb2_grpc.JobServiceServicer`: that module's function which
    adds it, and `rushes.catalog.v1.JobService`, since a proto package and its Python package share a name."""
    base = next(cls for cls in type(servicer).__mro__ if cls.__name__.endswith(_BASE_SUFFIX))
    add = getattr(sys.modules[base.__module__], f"add_{base.__name__}_to_server")
    package = base.__module__.rpartition(".")[0]
    return add, servicer, f"{package}.{base.__name__.removesuffix('Servicer')}"
