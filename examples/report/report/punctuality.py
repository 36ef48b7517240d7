"""Punctuality of a group of flights."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from flights import Flight

# A flight counts as late from the 15th minute on, as in the statistics of the United States.
LATE_MINUTES = 15


@dataclass(slots=True)
class Punctuality:
    """Numbers of flights, and of the arrivals with each delay in minutes. Diverted flights have no arrival."""

    flights: int = 0
    cancelled: int = 0
    delays: Counter[int] = field(default_factory=Counter)

    def add(self, flight: Flight) -> None:
        """Counts a flight."""
        self.flights += 1
        if flight.arrival_delay is not None:
            self.delays[flight.arrival_delay] += 1
        elif flight.delay is None:
            self.cancelled += 1

    def __add__(self, other: "Punctuality") -> "Punctuality":
        """Returns the punctuality of both groups together."""
        delays = self.delays + other.delays
        return Punctuality(self.flights + other.flights, self.cancelled + other.cancelled, delays)

    @property
    def arrived(self) -> int:
        """Number of flights that arrived where they were bound for."""
        return self.delays.total()

    @property
    def late(self) -> int:
        """Number of late arrivals."""
        return sum(count for delay, count in self.delays.items() if delay >= LATE_MINUTES)

    @property
    def on_time_percent(self) -> float:
        """Arrivals on time as a share of all flights, so that a cancelled flight is not on time."""
        return 100 * (self.arrived - self.late) / self.flights

    def percentile(self, percent: float) -> int | None:
        """Returns the delay that this share of the arrivals does not exceed, or None without arrivals."""
        ordered = sorted(self.delays.items())
        for (delay, _), reached in zip(ordered, accumulate(count for _, count in ordered), strict=True):
            if 100 * reached >= percent * self.arrived:
                return delay
        return None


def by_airline_and_month(flights: Iterable[Flight]) -> dict[tuple[str, int], Punctuality]:
    """Returns the punctuality of each airline in each month."""
    groups: dict[tuple[str, int], Punctuality] = {}
    for flight in flights:
        groups.setdefault((flight.carrier, flight.day.month), Punctuality()).add(flight)
    return groups
