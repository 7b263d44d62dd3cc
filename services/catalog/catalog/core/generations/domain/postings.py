"""Says what each event of a generation books in which account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from catalog.core.budget.domain import Posting, campaign_account, day_account
from catalog.core.generations.domain import events
from catalog.core.generations.domain.model import Generation


def postings(before: Generation | None, event: events.GenerationEvent) -> tuple[Posting, ...]:
    """What an event books: in the campaign's account, if there is one, and in the day's.

    The intent books the reserve; the real cost replaces it when the attempt ends, however it ended.
    """
    match event:
        case events.AttemptIntended() | events.AttemptAdopted():
            spent, reserved, day = 0, event.reserved_micros, event.intended_at
        case events.AttemptReleased() if before is not None:
            attempt = before.attempt(event.attempt_id)
            spent, reserved, day = 0, -attempt.reserved_micros, attempt.intended_at
        case events.AttemptEnded() if before is not None:
            attempt = before.attempt(event.attempt_id)
            spent, reserved, day = event.cost_micros, -attempt.reserved_micros, attempt.intended_at
        case _:
            return ()
    return _posted(before.campaign_id if before is not None else "", day, spent, reserved)


def balance(generation: Generation) -> tuple[Posting, ...]:
    """What all events of a generation have booked by now: the sum of their `postings`."""
    booked: tuple[Posting, ...] = ()
    for attempt in generation.attempts:
        spent, reserved = (0, attempt.reserved_micros) if attempt.open else (attempt.cost_micros, 0)
        booked += _posted(generation.campaign_id, attempt.intended_at, spent, reserved)
    return booked


def _posted(campaign_id: str, day: datetime, spent: int, reserved: int) -> tuple[Posting, ...]:
    accounts = [campaign_account(campaign_id)] if campaign_id else []
    return tuple(Posting(account, spent, reserved) for account in (*accounts, day_account(day)))


@dataclass(frozen=True)
class Overrun:
    """An attempt that has cost more than its reserve. Micro-dollars."""

    attempt_id: str
    reserved: int
    cost: int


def overrun(before: Generation, happened: Sequence[events.GenerationEvent]) -> Overrun | None:
    """Whether an attempt has cost more than it could: the cost is booked all the same, for it is real."""
    for event in happened:
        if isinstance(event, events.AttemptEnded):
            reserved = before.attempt(event.attempt_id).reserved_micros
            if event.cost_micros > reserved:
                return Overrun(event.attempt_id, reserved, event.cost_micros)
    return None
