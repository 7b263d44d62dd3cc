"""Describes a case of outages: which part is away when, and what has to be fetched meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outage:
    """`part`: a host of the origin, "store" or "log"; `how` an origin fails: refused, silent or 503."""

    part: str
    start: float
    end: float
    how: str = "refused"


@dataclass
class SimOutput:
    """One output: when the provider is done, when it deletes it, where it lies."""

    number: int
    arrival: float
    expiry: float
    host: str = "a.example"


@dataclass
class OutageCase:
    outputs: list[SimOutput]
    outages: list[Outage]
    replicas: int = 1
    slots: int = 16

    def until(self, part: str, now: float) -> Outage | None:
        """The outage of that part now."""
        return next((o for o in self.outages if o.part == part and o.start <= now < o.end), None)

    def hides(self, output: SimOutput) -> bool:
        """Whether the log was away in the time before its expiry, so that nobody could know of it."""
        return any(
            o.part == "log" and o.start < output.expiry and o.end > output.expiry - 600 for o in self.outages
        )
