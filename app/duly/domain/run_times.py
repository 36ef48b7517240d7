"""Run times of the jobs of a type, and the timeout suggested by them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 2.0  # times the P99
LONGEST_SECONDS = 30 * 86_400
# Round figures.
_STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 45)
_READABLE = sorted(
    [step * unit for unit in (1, 60) for step in _STEPS]
    + [3600 * hours for hours in (1, 2, 3, 4, 6, 8, 12)]
    + [86_400 * days for days in (1, 2, 3, 5, 7, 10, 14, 20, 30)]
)


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Run times, in seconds, of a sample of `count` completed jobs."""

    count: int
    p50_seconds: float
    p99_seconds: float
    suggested_timeout_seconds: int
    mean_seconds: float


def summarize_run_times(seconds: Sequence[float]) -> RunTimes | None:
    """Returns the summary of these run times; None if there are none."""
    if not seconds:
        return None
    ordered = sorted(max(0.0, each) for each in seconds)
    p99 = _percentile(ordered, 0.99)
    return RunTimes(
        len(ordered), _percentile(ordered, 0.5), p99, suggested_timeout(p99), math.fsum(ordered) / len(ordered)
    )


def joined_run_times(parts: Sequence[RunTimes | None]) -> RunTimes | None:
    """Returns the summary of several samples: the P50 is their weighted mean, the P99 the largest; None without any."""
    known = [part for part in parts if part is not None]
    if len(known) <= 1:
        return known[0] if known else None
    count, p99 = sum(part.count for part in known), max(part.p99_seconds for part in known)
    p50 = round(math.fsum(part.p50_seconds * part.count for part in known) / count, 3)
    mean = math.fsum(part.mean_seconds * part.count for part in known) / count
    return RunTimes(count, p50, p99, suggested_timeout(p99), mean)


def suggested_timeout(p99_seconds: float) -> int:
    """Returns twice the P99, rounded up to a round figure: at least a second, at most the allowed 30 days."""
    wanted = p99_seconds * MARGIN
    return next((readable for readable in _READABLE if readable >= wanted), LONGEST_SECONDS)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Returns the nearest rank: one of the values, rounded to milliseconds."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 3)
