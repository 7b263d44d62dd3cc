"""Decides which texts in a run's output are addresses of files that it made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from generator.core.models.domain.media_kinds import FILE_ENDINGS
from generator.core.models.domain.model_schema import OutputSchema

_ADDRESS = re.compile(r"https?://[^\s/]\S*|data:[\w.+-]+/[\w.+-]+[;,]\S*")
_MEDIA_NAME = re.compile(
    rf"\.({'|'.join(ending for endings in FILE_ENDINGS.values() for ending in endings)})", re.IGNORECASE
)
_DELIVERY_HOST = re.compile(r"(.+\.)?replicate\.delivery")
"""Where the provider keeps what its models make (docs/provider.md, Files)."""


def output_files(output: Any, schema: OutputSchema | None) -> tuple[str, ...]:
    """The addresses of all files in an output, in order, each once; `data:` addresses too.

    A text that begins like an address need not be a file: it may be a licence, a page, or what went in. The
    model's schema decides where it says something; else the form does. Where nothing is a file by that, every
    address is: what was paid for must not be lost because it is declared or named oddly.
    """
    addresses = list(_addresses(output, schema))
    chosen = (
        [
            address
            for address, is_file in addresses
            if is_file or (is_file is None and _named_like_file(address))
        ]
        or [address for address, _ in addresses if _named_like_file(address)]
        or [address for address, _ in addresses]
    )
    return tuple(dict.fromkeys(chosen))


def has_inline_files(output: Any) -> bool:
    """Whether files stand in the output itself (`data:`) instead of their addresses."""
    return any(address.startswith("data:") for address, _ in _addresses(output, None))


def _addresses(output: Any, schema: OutputSchema | None) -> Iterator[tuple[str, bool | None]]:
    """Every text that has the form of an address, with what the schema says of it."""
    pending = [(output, schema)]  # the next one last
    while pending:
        value, part = pending.pop()
        if isinstance(value, str):
            if _ADDRESS.fullmatch(value):
                yield value, part.is_file if part else None
        elif isinstance(value, Mapping):
            properties = part.properties if part else {}
            pending.extend((each, properties.get(name)) for name, each in reversed(list(value.items())))
        elif isinstance(value, list | tuple):
            pending.extend((each, part.items if part else None) for each in reversed(value))


def _named_like_file(address: str) -> bool:
    if address.startswith("data:"):
        return True
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(_DELIVERY_HOST.fullmatch(host) or _MEDIA_NAME.fullmatch(parts.path[parts.path.rfind(".") :]))
