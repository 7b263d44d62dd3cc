"""Translates the provider's refusals of our own access for those who call us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit.errors import Forbidden, Unauthenticated, Unavailable


@asynccontextmanager
async def refused_access_is_unavailable() -> AsyncIterator[None]:
    """Our token or our credit was refused: that is our operator's trouble, and no caller's key is wrong.

    Also a decorator for a servicer's method.

    Raises:
        Unavailable: for each refusal, with what the operator should do.
    """
    try:
        yield
    except (Unauthenticated, Forbidden) as error:
        raise Unavailable(
            f"the provider refuses our own access, not yours ({error.message}); whoever runs Rushes should "
            "check REPLICATE_API_TOKEN and the credit of its account, then restart the generator"
        ) from error
