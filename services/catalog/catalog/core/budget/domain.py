"""Says what an account may still spend, and what each event of a generation books in which account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from catalog.core.generations.domain import events
from catalog.core.generations.domain.model import Generation


@dataclass(frozen=True)
class Account:
    """What is spent and reserved in one account, and its cap (None: no cap). Micro-dollars."""

    spent: int = 0
    reserved: int = 0
    cap: int | None = None

    def fits(self, amount: int) -> bool:
        """Whether so much may be reserved too. Only a zero amount passes regardless of the cap."""
        return self.cap is None or amount == 0 or self.spent + self.reserved + amount <= self.cap

    def post(self, posting: Posting) -> Account:
        return replace(self, spent=self.spent + posting.spent, reserved=self.reserved + posting.reserved)


@dataclass(frozen=True)
class Posting:
    """A change of one account. Micro-dollars, either sign."""

    account: str
    spent: int = 0
    reserved: int = 0


def campaign_account(campaign_id: str) -> str:
    return f"campaign:{campaign_id}"


def day_account(at: datetime) -> str:
    """The name of the account of a day (UTC). An attempt stays in the day of its intent."""
    return f"day:{at.date().isoformat()}"


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
    accounts = [day_account(day)]
    if before is not None and before.campaign_id:
        accounts.insert(0, campaign_account(before.campaign_id))
    return tuple(Posting(account, spent, reserved) for account in accounts)


def balance(generation: Generation) -> tuple[Posting, ...]:
    """What all events of a generation have booked by now: the sum of their `postings`."""
    booked = []
    for attempt in generation.attempts:
        spent, reserved = (0, attempt.reserved_micros) if attempt.open else (attempt.cost_micros, 0)
        accounts = [day_account(attempt.intended_at)]
        if generation.campaign_id:
            accounts.insert(0, campaign_account(generation.campaign_id))
        booked += [Posting(account, spent, reserved) for account in accounts]
    return tuple(booked)


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
