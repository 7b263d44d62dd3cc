"""Pages of lists, newest first: which one is requested, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50


@dataclass(frozen=True)
class PageRequest:
    """Which page: how many items (0: `DEFAULT_PAGE_SIZE`), and the token of the page before."""

    size: int = 0
    token: str = ""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, newest first, and the token for the next page (empty on the last one)."""

    items: tuple[T, ...]
    next_token: str = ""
