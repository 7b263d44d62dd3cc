"""Reads the provider's list of predictions back to a moment: whole, or nothing follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from generator.adapters.replicate_client import ReplicateClient
from generator.core.runs.domain.prediction import Prediction, read_prediction
from servicekit.clock import Clock
from servicekit.errors import Forbidden, Limited, TimedOut, Unauthenticated, Unavailable

_TRIES, _WAIT = 5, 1.0
"""Tries of a page that follows others, and seconds before the second: trouble with one page of many must not
begin the list anew."""

_WHOLE_SECONDS = timedelta(seconds=2)
"""What a `Date` of whole seconds and the way of an answer can make of equal clocks."""

_FAR_APART = timedelta(minutes=1)
"""So far the provider's clock may turn out behind before the list is read anew, from further back."""

Keep = Callable[[Prediction], bool]


async def predictions_since(
    client: ReplicateClient, clock: Clock, moment: datetime, keep: Keep
) -> list[Prediction]:
    """The runs created since `moment` (in our clock) for which `keep` is true, newest first.

    Where the provider's clock is apart from ours, its times are tried in ours too: that finds more, never
    less. The list is read until it passes the moment, however long it is.

    Raises:
        Unavailable: the list could not be read to its end.
        Unauthenticated: this token may not read it.
    """
    start = moment + min(_clock_ahead(client, clock), timedelta())
    found: list[Prediction] = []
    path, params = _first_page(start)
    read = {""}
    while True:
        page = await _read_page(client, clock, path, params, tries=_TRIES if len(read) > 1 else 1)
        listed, following = _entries(page)
        ahead = _clock_ahead(client, clock)
        if moment + ahead < start - _FAR_APART:
            start, found = moment + ahead, []
            path, params = _first_page(start)
            continue
        found += _wanted_entries(listed, moment, ahead, keep)
        if not following or _passed(listed, moment, ahead):
            return found
        if following in read:
            raise Unavailable("the provider's list of predictions goes in a circle")
        read.add(following)
        path, params = following, {}


def _first_page(start: datetime) -> tuple[str, dict[str, str]]:
    return "/v1/predictions", {"created_after": start.astimezone(UTC).isoformat()}


def _clock_ahead(client: ReplicateClient, clock: Clock) -> timedelta:
    """How far the provider's clock is ahead of ours, by its last answer; nothing when too little."""
    ahead = client.date - clock.now() if client.date is not None else timedelta()
    return ahead if abs(ahead) > _WHOLE_SECONDS else timedelta()


async def _read_page(
    client: ReplicateClient, clock: Clock, path: str, params: Mapping[str, str], *, tries: int
) -> Any:
    wait = _WAIT
    while True:
        try:
            return await client.read(path, params=params)
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
    is_last = not isinstance(following, str) or following == "null"
    return [each for each in map(read_prediction, results) if each is not None], "" if is_last else following


def _wanted_entries(
    listed: Sequence[Prediction], moment: datetime, ahead: timedelta, keep: Keep
) -> Iterator[Prediction]:
    for each in listed:
        readings = [each]
        if each.created_at is not None and ahead:
            readings.append(replace(each, created_at=each.created_at - ahead))
        for reading in readings:
            if (reading.created_at is None or reading.created_at >= moment) and keep(reading):
                yield reading
                break


def _passed(listed: Sequence[Prediction], moment: datetime, ahead: timedelta) -> bool:
    """Newest first: a page that ends before the moment is the last (should the filter be ignored)."""
    last = listed[-1].created_at if listed else None
    return last is not None and max(last, last - ahead) < moment
