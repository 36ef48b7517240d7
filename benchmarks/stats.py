"""Percentiles, and median and spread over rounds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value that `share` (0 to 1) of the values do not exceed; 0 if there are no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    least: float
    most: float
    rounds: int


def spread(values: Sequence[float]) -> Spread:
    return Spread(
        median=statistics.median(values),
        least=min(values),
        most=max(values),
        rounds=len(values),
    )
