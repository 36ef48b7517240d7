"""Rounds with figures recorded every second."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.open_loop import OpenLoopOutcome
from benchmarks.open_loop_connections import Interval
from benchmarks.rounds import Round
from benchmarks.sampling import Samples

# Number of points sufficient for a plot of an hour.
MOST_POINTS = 600


@dataclass(frozen=True, slots=True)
class RoundOverTime(Round):
    """Round with series: lists of equal length by name; `second` is the time since the load began."""

    series: dict[str, list[float]] = field(default_factory=dict)


def series_of(seconds: Sequence[Interval]) -> dict[str, list[float]]:
    """Returns the columns of a load."""
    return {
        "second": [each.at for each in seconds],
        "accepted": [float(each.accepted) for each in seconds],
        "refused": [float(each.refused) for each in seconds],
        "p50_ms": [each.p50_ms for each in seconds],
        "p99_ms": [each.p99_ms for each in seconds],
    }


def sampled_at(outcome: OpenLoopOutcome, samples: Samples, name: str) -> list[float]:
    """Returns a sample for each second of the load."""
    return nearest(samples, name, [outcome.began_at + each.at + 0.5 for each in outcome.seconds])


def nearest(samples: Samples, name: str, moments: Sequence[float]) -> list[float]:
    """Returns the sample nearest to each moment; moments and samples are in order of time."""
    values, found, place = samples.values.get(name, [0.0]), [], 0
    for moment in moments:
        while place + 1 < len(values) and abs(samples.at[place + 1] - moment) <= abs(samples.at[place] - moment):
            place += 1
        found.append(values[place])
    return found


def thinned(series: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Returns at most MOST_POINTS evenly spaced values of each column, to four digits, as stored in results.json."""
    length = max((len(values) for values in series.values()), default=0)
    step = -(-length // MOST_POINTS) or 1
    return {name: [float(f"{value:.4g}") for value in values[::step]] for name, values in series.items()}
