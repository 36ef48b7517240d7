"""Counts of minutes in one process: by queue, limited in number, and kept while they cannot be written."""

from collections import Counter
from dataclasses import dataclass

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import ClaimedJob, Finished, Lane
from duly.domain.minute_figures import ALL_QUEUES, MOST_QUEUES, MinuteFigures
from duly.telemetry.job_groups import ended_groups, started_groups
from duly.telemetry.minute_counts import MOST_MINUTES, MinuteCounts, rows_of

NOON = 1_800_000_000 // 60 * 60


@dataclass
class Clock:
    now: float = 0.0


def counts_at(clock: Clock) -> MinuteCounts:
    return MinuteCounts(DatabaseClock(wall=lambda: NOON + clock.now, elapsed=lambda: clock.now))


def claimed(queue: str, *, waited: float | None) -> ClaimedJob:
    return ClaimedJob(
        *(1, new_job_id(), 1, 1, 1, 0, "echo", queue, 0, 10.0, 5, "{}", None, None, None), waited_seconds=waited
    )


def ended(queue: str, kind: EventKind, *, ran: float | None = None) -> Finished:
    return Finished(new_job_id(), kind, 2, Lane(1, queue, "echo", 0), None, delivers=False, ran_seconds=ran)


def by_queue(counts: MinuteCounts) -> dict[str, MinuteFigures]:
    return {row.queue: row for row in rows_of(counts.take())}


def test_jobs_are_counted_by_queue_and_together() -> None:
    counts = counts_at(Clock())
    counts.submitted(Counter({(1, "a"): 3, (1, "b"): 2}))
    counts.started(started_groups([claimed("a", waited=2.0), claimed("a", waited=None)]))
    counts.ended(
        ended_groups([ended("a", EventKind.COMPLETED, ran=0.5), ended("a", EventKind.RETRY_SCHEDULED, ran=0.25)])
    )
    counts.ended_waiting(1, "b", EventKind.CANCELLED)
    counts.delivered(1, "a", succeeded=True)
    counts.delivered(1, None, succeeded=False)
    rows = by_queue(counts)
    a, b, every = rows["a"], rows["b"], rows[ALL_QUEUES]
    assert (a.submitted, a.started, a.completed, a.retried, a.waited, a.wait_seconds) == (3, 2, 1, 1, 1, 2.0)
    assert (a.ran, a.run_seconds, sum(a.runs)) == (2, 0.75, 2)
    assert (b.submitted, b.cancelled, b.ran) == (2, 1, 0)
    assert (every.submitted, every.completed, every.cancelled, every.run_seconds) == (5, 1, 1, 0.75)
    assert (a.delivered, every.delivered, every.undelivered) == (1, 1, 1)


def test_an_attempt_that_was_interrupted_or_parks_is_not_counted() -> None:
    counts = counts_at(Clock())
    counts.ended(ended_groups([ended("a", EventKind.REQUEUED, ran=1.0), ended("a", EventKind.PARKED)]))
    assert by_queue(counts) == {}


def test_queues_beyond_the_limit_are_counted_together_with_the_others() -> None:
    counts = counts_at(Clock())
    for number in range(3 * MOST_QUEUES):
        counts.submitted(Counter({(1, f"queue-{number}"): 1}))
    counts.submitted(Counter({(1, "default"): 1, (1, "queue-0"): 1, (2, "of-another-tenant"): 1}))
    rows = rows_of(counts.take())
    mine = {row.queue: row.submitted for row in rows if row.tenant_id == 1}
    assert len(mine) == MOST_QUEUES + 1
    assert (mine[ALL_QUEUES], mine["default"], mine["queue-0"]) == (3 * MOST_QUEUES + 2, 1, 2)
    assert [(row.queue, row.submitted) for row in rows if row.tenant_id == 2] == [
        (ALL_QUEUES, 1),
        ("of-another-tenant", 1),
    ]


def test_each_minute_has_counts_of_its_own() -> None:
    clock = Clock()
    counts = counts_at(clock)
    counts.submitted(Counter({(1, "a"): 1}))
    clock.now += 60
    counts.submitted(Counter({(1, "a"): 2}))
    rows = [row for row in rows_of(counts.take()) if row.queue == "a"]
    assert [(row.minute.timestamp(), row.submitted) for row in rows] == [(NOON, 1), (NOON + 60, 2)]
    assert counts.take() == {}


def test_counts_that_could_not_be_written_are_added_to_later_ones() -> None:
    counts = counts_at(Clock())
    counts.started(started_groups([claimed("a", waited=1.0)]))
    taken = counts.take()
    counts.started(started_groups([claimed("a", waited=3.0)]))
    counts.put_back(taken)
    row = by_queue(counts)["a"]
    assert (row.started, row.waited, row.wait_seconds, sum(row.waits)) == (2, 2, 4.0, 2)


def test_only_the_last_minutes_are_kept_while_the_database_is_away() -> None:
    clock = Clock()
    counts = counts_at(clock)
    for _ in range(2 * MOST_MINUTES):
        counts.put_back(counts.take())
        counts.submitted(Counter({(1, "a"): 1}))
        clock.now += 60
    rows = [row for row in rows_of(counts.take()) if row.queue == "a"]
    assert len(rows) == MOST_MINUTES
    assert rows[-1].minute.timestamp() == NOON + 60 * (2 * MOST_MINUTES - 1)
