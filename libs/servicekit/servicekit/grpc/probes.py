"""Tells probes from calls."""

from __future__ import annotations


def is_probe(method: str) -> bool:
    """Whether an RPC, by its full name, is one of health or reflection.

    Probes come every few seconds: their lines and spans would hide the others.
    """
    return method.removeprefix("/").startswith(("grpc.health.", "grpc.reflection."))
