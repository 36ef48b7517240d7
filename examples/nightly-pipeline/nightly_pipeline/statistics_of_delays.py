"""The figures of an airline on one day."""

import random
from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel

RESAMPLES = 200
LATE_MINUTES = 15


class Figures(BaseModel):
    """Flights of an airline on a day, with the median delay of arrivals and its 95 % confidence interval."""

    day: str
    carrier: str
    flights: int
    cancelled: int
    late: int
    median: float | None = None
    low: float | None = None
    high: float | None = None


def figures_of(day: str, carrier: str, flights: Sequence[tuple[int | None, bool]]) -> Figures:
    """Returns the same figures for the same flights each time, so that a repeated attempt changes nothing."""
    delays = [delay for delay, _ in flights if delay is not None]
    low, middle, high = interval(delays, seed=f"{day} {carrier}") if delays else (None, None, None)
    return Figures(
        day=day,
        carrier=carrier,
        flights=len(flights),
        cancelled=sum(cancelled for _, cancelled in flights),
        late=sum(delay >= LATE_MINUTES for delay in delays),
        median=middle,
        low=low,
        high=high,
    )


def interval(delays: Sequence[int], *, seed: str) -> tuple[float, float, float]:
    """Returns the lower bound, the median and the upper bound, by the bootstrap percentile method."""
    drawn = random.Random(seed)
    medians = sorted(median(drawn.choices(delays, k=len(delays))) for _ in range(RESAMPLES))
    middle = median(delays)
    return min(medians[int(0.025 * RESAMPLES)], middle), middle, max(medians[int(0.975 * RESAMPLES) - 1], middle)
