"""Filter of the tenant stream: sets restrict by membership, labels by value, and nested filters all have to match."""

from uuid import UUID

import pytest

from duly.store.ledger.event_tail import TailJob
from duly.stream.filter import ALL_EVENTS, EventFilter

BATCH = UUID(int=7)
JOB = TailJob(type="echo", queue="reports", batch_id=BATCH, labels='{"team":"a","user":"u-1"}')


def labels(**values: str) -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset((name, frozenset(value.split("|"))) for name, value in values.items())


@pytest.mark.parametrize(
    ("event_filter", "matches"),
    [
        (ALL_EVENTS, True),
        (EventFilter(types=frozenset({"echo", "fail"})), True),
        (EventFilter(types=frozenset({"fail"})), False),
        (EventFilter(queues=frozenset({"default"})), False),
        (EventFilter(batches=frozenset({BATCH})), True),
        (EventFilter(batches=frozenset({UUID(int=8)})), False),
        (EventFilter(labels=labels(team="a|b", user="u-1")), True),
        (EventFilter(labels=labels(team="a", user="u-2")), False),
        (EventFilter(labels=labels(absent="a")), False),
        (EventFilter(within=EventFilter(queues=frozenset({"reports"}))), True),
        (EventFilter(types=frozenset({"echo"}), within=EventFilter(queues=frozenset({"default"}))), False),
    ],
)
def test_a_job_matches_where_every_part_of_the_filter_does(event_filter: EventFilter, *, matches: bool) -> None:
    assert event_filter.matches(JOB) is matches


def test_a_job_without_labels_matches_no_label() -> None:
    assert not EventFilter(labels=labels(team="a")).matches(JOB._replace(labels=None))
