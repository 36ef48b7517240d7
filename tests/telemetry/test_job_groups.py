"""Batches counted by group: metrics and figures say the same as if each job were a batch of its own."""

import random
from collections.abc import Callable, Iterable
from uuid import UUID

import pytest

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.domain.job import ClaimedJob, Finished, Lane, NewJob
from duly.telemetry.metrics import Metrics
from duly.telemetry.minute_counts import rows_of
from tests.telemetry.test_metrics import samples_of

NOON = 1_800_000_000 // 60 * 60
ENDS = (EventKind.COMPLETED, EventKind.FAILED, EventKind.RETRY_SCHEDULED, EventKind.REQUEUED, EventKind.LEASE_EXPIRED)


def _metrics() -> Metrics:
    return Metrics(DatabaseClock(wall=lambda: float(NOON), elapsed=lambda: 0.0))


def _lane(chance: random.Random, lanes: int) -> tuple[int, str, str, int]:
    number = chance.randrange(lanes)
    return 1 + number % 2, f"queue-{number % 2}", f"type-{number % 3}", number % 5


def _seconds(chance: random.Random) -> float | None:
    return chance.choice([None, -0.25, 0.0, 0.005, chance.expovariate(1), chance.expovariate(0.001)])


def _claimed(chance: random.Random, lanes: int) -> ClaimedJob:
    tenant, queue, job_type, priority = _lane(chance, lanes)
    facts = (tenant, UUID(int=chance.getrandbits(128)), 1, 1, 1, 0, job_type, queue, priority)
    return ClaimedJob(*facts, 10.0, 5, "{}", None, None, None, waited_seconds=_seconds(chance))


def _new(chance: random.Random, lanes: int) -> NewJob:
    tenant, queue, job_type, priority = _lane(chance, lanes)
    return NewJob(tenant, UUID(int=chance.getrandbits(128)), job_type, queue, priority, "{}", 10.0, 5)


def _finished(chance: random.Random, lanes: int) -> Finished:
    kind = chance.choice(ENDS) if lanes > 1 else EventKind.COMPLETED
    lane = Lane(*_lane(chance, lanes))
    return Finished(UUID(int=1), kind, 2, lane, None, delivers=False, ran_seconds=_seconds(chance))


def _counted(metrics: Metrics) -> tuple[object, ...]:
    """Returns what a batch is counted in, except what depends on the number of batches or on the clock."""
    samples = samples_of(metrics.render()).items()
    own = {name: _rounded(value) for name, value in samples if "batch_size" not in name and "_created" not in name}
    rows = [tuple(map(_rounded, row)) for row in rows_of(metrics.minutes.take())]
    return own, rows, set(metrics.rates.per_second())


def _rounded(value: object) -> object:
    """Returns a value without the last digits of a sum, which depend on the order of its terms."""
    return f"{value:.9g}" if isinstance(value, float) else value


Record = Callable[[Metrics, list[object]], None]
Make = Callable[[random.Random, int], object]
BATCHES: Iterable[tuple[str, Make, Record]] = [
    ("claimed", _claimed, lambda metrics, jobs: metrics.claimed_jobs(jobs)),  # type: ignore[arg-type]  # as made
    ("started at once", _new, lambda metrics, jobs: metrics.started_at_once(jobs)),  # type: ignore[arg-type]  # as made
    ("finished", _finished, lambda metrics, jobs: metrics.finished(jobs)),  # type: ignore[arg-type]  # as made
]


@pytest.mark.parametrize("lanes", [1, 12])
@pytest.mark.parametrize(("make", "record"), [each[1:] for each in BATCHES], ids=[each[0] for each in BATCHES])
def test_a_batch_counts_as_its_jobs_one_by_one(make: Make, record: Record, lanes: int) -> None:
    chance = random.Random(5)  # noqa: S311  # not a secret
    together, single = _metrics(), _metrics()
    for size in (1, 2, 30, 200):
        jobs = [make(chance, lanes) for _ in range(size)]
        record(together, jobs)
        for job in jobs:
            record(single, [job])
    assert _counted(together) == _counted(single)
    assert any("_seconds_sum" in name for name in samples_of(together.render()))


def test_an_empty_batch_counts_nothing() -> None:
    metrics = _metrics()
    metrics.finished([])
    assert rows_of(metrics.minutes.take()) == []
