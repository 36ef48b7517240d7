"""The arithmetic of operations: what a day of 20 million jobs needs, from what was measured."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daily_load.plan import DAY_SECONDS, JOBS_A_DAY, MEAN, PEAK_FACTOR, by_hour
from daily_load.usage import Usage

_RETENTION_DAYS = 30
# Share of a core that is planned for, so that a peak finds room.
_PLANNED = 0.6
_OUTAGE_SECONDS = 3_600


class Measured(NamedTuple):
    """Use of a run for its jobs, and the jobs per second that the machine can do."""

    jobs: int
    used: Usage
    capacity: float


def day_lines() -> Iterator[str]:
    """Yields the load of the day, by the hour."""
    hours = by_hour()
    busiest = max(hours, key=lambda hour: hours[hour])
    yield f"{JOBS_A_DAY:,} jobs a day: {MEAN:,.1f}/s in the mean, {PEAK_FACTOR * MEAN:,.0f}/s in a tenfold peak."
    yield f"By the hours of real departures, the busiest hour is {busiest}:00 with {hours[busiest] * MEAN:,.0f}/s:"
    bars = " .:-=+*#%@"
    shown = "".join(
        bars[min(round(hours[hour] / hours[busiest] * (len(bars) - 1)), len(bars) - 1)] for hour in range(24)
    )
    yield f"  0h |{shown}| 24h"


def lines(measured: Measured) -> Iterator[str]:
    """Yields the needs of a day."""
    used, jobs = measured.used, measured.jobs
    yield "What a day of 20 million such jobs needs, by the measured use:"
    yield from _storage(used.size / jobs, used.wal / jobs)
    commits = used.commits / jobs
    yield f"  commits     {commits:7.3f} per job  {commits * MEAN:8,.0f}/s in the mean"
    yield from _cores("service", 1_000 * used.service / jobs)
    if used.postgres:
        yield from _cores("PostgreSQL", 1_000 * used.postgres / jobs)
    yield from _reserve(measured.capacity)


def _storage(size: float, wal: float) -> Iterator[str]:
    gigabytes = size * JOBS_A_DAY / 1e9
    kept = f"{gigabytes * _RETENTION_DAYS / 1e3:.2f} TB in {_RETENTION_DAYS} days of retention"
    yield f"  disk        {size:7,.0f} B a job   {gigabytes:8,.1f} GB a day, {kept}"
    gigabytes = wal * JOBS_A_DAY / 1e9
    yield f"  WAL         {wal:7,.0f} B a job   {gigabytes:8,.1f} GB a day, {wal * MEAN / 1e6:.2f} MB/s to archive"


def _cores(name: str, milliseconds: float) -> Iterator[str]:
    mean = milliseconds * MEAN / 1e3
    peak = f"{mean * PEAK_FACTOR / _PLANNED:.1f} for the peak, {_PLANNED:.0%} busy"
    yield f"  {name:<11} {milliseconds:7.3f} ms a job  {mean:8.2f} cores in the mean, {peak}"


def _reserve(capacity: float) -> Iterator[str]:
    a_day = f"{capacity * DAY_SECONDS / 1e6:,.0f} million a day"
    yield f"This machine submits, runs and follows {capacity:,.0f} jobs/s: {a_day}."
    backlog = _OUTAGE_SECONDS * MEAN
    if capacity > MEAN:
        minutes = backlog / (capacity - MEAN) / 60
        yield f"After an hour without workers, {backlog:,.0f} jobs wait; it works them off in {minutes:,.1f} minutes."


def latency_line(name: str, seconds: Sequence[float], rate: float) -> str:
    """Returns the times from due to known end in a phase."""
    ordered = sorted(seconds)
    p50, p99 = (1_000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.99))
    return f"  {name:<6} {rate:7,.0f}/s  {len(ordered):8,} jobs  p50 {p50:6.0f} ms  p99 {p99:6.0f} ms"
