"""Load of a day: a mean, the hours of real flights, and a peak."""

from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

from flights import ALL_FLIGHTS, read_flights

JOBS_A_DAY = 20_000_000
DAY_SECONDS = 86_400
MEAN = JOBS_A_DAY / DAY_SECONDS
PEAK_FACTOR = 10


class Phase(NamedTuple):
    """Part of a run: jobs per second, for some seconds."""

    name: str
    seconds: float
    rate: float


def phases(*, mean_seconds: float, peak_seconds: float, scale: float) -> list[Phase]:
    """Returns a run: the mean, the peak, and the mean again. At scale 1, 20 million jobs a day."""
    mean, peak = MEAN * scale, MEAN * PEAK_FACTOR * scale
    return [
        Phase("mean", mean_seconds, mean),
        Phase("peak", peak_seconds, peak),
        Phase("after", mean_seconds, mean),
    ]


def arrivals(run: list[Phase]) -> Iterator[tuple[float, str]]:
    """Yields the time of each job in seconds since the start, and the name of its phase."""
    start = 0.0
    for phase in run:
        for number in range(round(phase.seconds * phase.rate)):
            yield start + number / phase.rate, phase.name
        start += phase.seconds


def jobs() -> Iterator[dict[str, Any]]:
    """Yields flights as parameters of jobs: all of the year, then again from the first."""
    for flight in cycle(read_flights()):
        yield {
            "airline": flight.carrier,
            "number": flight.number,
            "miles": flight.distance,
            "arrivalDelay": flight.arrival_delay,
        }


def by_hour() -> dict[int, float]:
    """Returns the load of each hour of the day, as a multiple of the mean: the departures of a year by their hour."""
    hours = Counter(flight.departure // 60 for flight in read_flights())
    return {hour: 24 * hours[hour] / ALL_FLIGHTS for hour in range(24)}
