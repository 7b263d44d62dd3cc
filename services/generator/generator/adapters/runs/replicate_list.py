"""Reading the provider's list of predictions back to a moment: whole, or nothing follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from generator.adapters.replicate_client import Api
from generator.core.runs.domain import prediction
from generator.core.runs.domain.prediction import Prediction
from servicekit.clock import Clock
from servicekit.errors import Forbidden, Limited, TimedOut, Unauthenticated, Unavailable

PAGES = 100_000
"""Pages of the list (100 each) before it counts as endless: at the provider's limit of 600 creates a minute,
what is made in eleven days. A list is otherwise read until it passes the time that is asked for."""

_TRIES, _WAIT = 5, 1.0
"""Tries of a page that follows others, and seconds before the second: trouble with one page of many must not
begin the list anew."""

_WHOLE_SECONDS = timedelta(seconds=2)
"""What a `Date` of whole seconds and the way of an answer can make of equal clocks."""

_APART = timedelta(minutes=1)
"""So far the provider's clock may turn out behind before the list is asked for anew, from further back."""

Keep = Callable[[Prediction], bool]


async def since(api: Api, clock: Clock, moment: datetime, keep: Keep) -> list[Prediction]:
    """The runs created since `moment` (in our clock) that are to be kept, newest first.

    Where the provider's clock is apart from ours, its times are tried in ours too: it finds more, never less.

    Raises:
        Unavailable: the list could not be read to its end.
        Unauthenticated: this token may not read it.
    """
    start = moment + min(_ahead(api, clock), timedelta())
    found: list[Prediction] = []
    path, params = _from(start)
    seen = {""}
    while len(seen) <= PAGES:
        page = await _page(api, clock, path, params, tries=_TRIES if len(seen) > 1 else 1)
        listed, following = _entries(page)
        ahead = _ahead(api, clock)
        if moment + ahead < start - _APART:
            start, found = moment + ahead, []
            path, params = _from(start)
            continue
        found += _kept(listed, moment, ahead, keep)
        if not following or _past(listed, moment, ahead):
            return found
        if following in seen:
            raise Unavailable("the provider's list of predictions goes in a circle")
        seen.add(following)
        path, params = following, {}
    raise Unavailable(f"the provider's list has no end: {PAGES} pages since {moment.isoformat()}")


def _from(start: datetime) -> tuple[str, dict[str, str]]:
    return "/v1/predictions", {"created_after": start.astimezone(UTC).isoformat()}


def _ahead(api: Api, clock: Clock) -> timedelta:
    """How far the provider's clock is ahead of ours, by its last answer; nothing when too little."""
    ahead = api.date - clock.now() if api.date is not None else timedelta()
    return ahead if abs(ahead) > _WHOLE_SECONDS else timedelta()


async def _page(api: Api, clock: Clock, path: str, params: Mapping[str, str], *, tries: int) -> Any:
    wait = _WAIT
    while True:
        try:
            return await api.read(path, params=params)
        except Forbidden as error:
            raise Unauthenticated(
                f"{error.message}: this token may not read the list of predictions, and without it nobody "
                "finds what a broken connection has bought; give it the right to, or another token"
            ) from error
        except (Unavailable, TimedOut, Limited) as error:
            tries -= 1
            if not tries:
                raise
            await clock.sleep(error.retry_after or wait)
            wait *= 2


def _entries(page: Any) -> tuple[list[Prediction], str]:
    """The predictions of a page, and where the next one is; empty when it is the last."""
    results = page.get("results") if isinstance(page, Mapping) else None
    if not isinstance(results, list):
        raise Unavailable("the provider's list of predictions cannot be read")
    following = page.get("next")
    ends = not isinstance(following, str) or following == "null"
    return [each for each in map(prediction.read, results) if each is not None], "" if ends else following


def _kept(
    listed: Sequence[Prediction], moment: datetime, ahead: timedelta, keep: Keep
) -> Iterator[Prediction]:
    for each in listed:
        if each.created_at is None:
            told = [each]
        else:
            told = [each, replace(each, created_at=each.created_at - ahead)][: 2 if ahead else 1]
        for it in told:
            if (it.created_at is None or it.created_at >= moment) and keep(it):
                yield it
                break


def _past(listed: Sequence[Prediction], moment: datetime, ahead: timedelta) -> bool:
    """Newest first: a page that ends before the moment is the last (should the filter be ignored)."""
    last = listed[-1].created_at if listed else None
    return last is not None and max(last, last - ahead) < moment
