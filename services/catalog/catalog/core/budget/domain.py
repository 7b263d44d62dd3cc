"""Says what an account may still spend, and how accounts are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime


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
