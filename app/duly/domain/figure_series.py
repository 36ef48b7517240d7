"""Series for plots: the figures of minutes, added up in steps of equal length."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from duly.domain.time_histogram import TimeHistogram


class StoredMinute(NamedTuple):
    """Figures of one queue, or of all, in a minute: counts, times, and the depth at one moment of it.

    Attributes:
        at: seconds from 1970 to the start of the minute.
    """

    at: int
    submitted: int
    started: int
    completed: int
    failed: int
    cancelled: int
    retried: int
    delivered: int
    undelivered: int
    waited: int
    wait_seconds: float
    waits: Sequence[int]
    ran: int
    run_seconds: float
    runs: Sequence[int]
    ready: int
    scheduled: int
    blocked: int
    running: int
    oldest_seconds: float


_SUMMED = [
    name for name in StoredMinute._fields if name not in {"at", "waits", "runs", "oldest_seconds"}
]  # the rest has rules of its own


def joined_minutes(parts: Iterable[Iterable[StoredMinute]]) -> list[StoredMinute]:
    """Returns the minutes of several databases as those of one, in order: depths of the same minute are added up."""
    found: dict[int, list[StoredMinute]] = {}
    for part in parts:
        for minute in part:
            found.setdefault(minute.at, []).append(minute)
    return [_joined(found[at]) for at in sorted(found)]


def _joined(minutes: Sequence[StoredMinute]) -> StoredMinute:
    if len(minutes) == 1:
        return minutes[0]
    return minutes[0]._replace(
        **{name: sum(getattr(minute, name) for minute in minutes) for name in _SUMMED},
        waits=[sum(counts) for counts in zip_longest(*(minute.waits for minute in minutes), fillvalue=0)],
        runs=[sum(counts) for counts in zip_longest(*(minute.runs for minute in minutes), fillvalue=0)],
        oldest_seconds=max(minute.oldest_seconds for minute in minutes),
    )


class Span(NamedTuple):
    """Period of some series, in seconds since 1970: `since` and `until` are multiples of the step."""

    since: int
    until: int
    step: int

    @property
    def steps(self) -> int:
        """Number of values of a series."""
        return (self.until - self.since) // self.step

    @classmethod
    def around(cls, since: float, until: float, step: int) -> "Span":
        """Returns the shortest span that contains a period."""
        return cls(int(since // step) * step, int(-(-until // step)) * step, step)


_COUNTS = {
    **{name: name for name in ("submitted", "started", "completed", "failed", "cancelled", "retried")},
    "deliveriesSucceeded": "delivered",
    "deliveriesFailed": "undelivered",
}
_DEPTHS = {
    "waiting": "ready",
    "scheduled": "scheduled",
    "blocked": "blocked",
    "running": "running",
    "oldestWaitSeconds": "oldest_seconds",
}
_PERCENTILES = {"P50Seconds": 0.5, "P99Seconds": 0.99}

Series = Mapping[str, Sequence[float | None]]


def series_of(minutes: Iterable[StoredMinute], span: Span) -> Series:
    """Returns a value for each step: sums of counts, the largest depths, and percentiles of times (None without any).

    Minutes must be within the span.
    """
    steps: list[list[StoredMinute]] = [[] for _ in range(span.steps)]
    for minute in minutes:
        steps[(minute.at - span.since) // span.step].append(minute)
    return {
        **{name: _each(steps, sum, member) for name, member in _COUNTS.items()},
        **{name: [_rounded(value) for value in _each(steps, _largest, member)] for name, member in _DEPTHS.items()},
        **_times(steps, "wait", lambda minute: (minute.waited, minute.wait_seconds, minute.waits)),
        **_times(steps, "run", lambda minute: (minute.ran, minute.run_seconds, minute.runs)),
    }


def _each(steps: Iterable[Iterable[StoredMinute]], add: Callable[[Iterable[float]], float], member: str) -> list[float]:
    return [add([getattr(minute, member) for minute in step]) for step in steps]


def _largest(values: Iterable[float]) -> float:
    return max(values, default=0)


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, 3)


def _times(
    steps: Iterable[Iterable[StoredMinute]],
    name: str,
    of: Callable[[StoredMinute], tuple[int, float, Sequence[int]]],
) -> dict[str, list[float | None]]:
    histograms = []
    for step in steps:
        histogram = TimeHistogram()
        for minute in step:
            histogram.merge(*of(minute))
        histograms.append(histogram)
    return {
        name + suffix: [histogram.percentile(share) for histogram in histograms]
        for suffix, share in _PERCENTILES.items()
    }
