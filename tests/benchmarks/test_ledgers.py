"""A ledger that SQL filled is one that the service could have written."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks import server as benchmark_server
from benchmarks.ground import SMALL, Ground
from benchmarks.growth import sample_ids
from benchmarks.ledgers import DAYS_BACK, Fill, forget_templates, ledger
from duly.domain.ids import made_at
from tests.support.invariants import violations
from tests.support.postgres import Server

COUNTS = """
    select (select count(*) from jobs), (select count(*) from events), (select count(*) from ready),
           (select count(*) from pg_inherits where inhparent = 'jobs'::regclass)
"""


@pytest.fixture
def ground(embedded_server_18: Server, tmp_path: Path) -> Iterator[Ground]:
    """The server of the tests, with names of its own for databases and a template that has today's partitions."""
    server = benchmark_server.Server(0, embedded_server_18.url_of)
    ground = Ground(server, tmp_path, SMALL)
    yield ground
    forget_templates(ground)
    for database in ground.templates.values():
        server.drop(database)


def test_every_job_of_a_filled_ledger_keeps_the_invariants(ground: Ground) -> None:
    with ledger(ground, Fill(waiting=30, finished=70)) as database:
        jobs, events, ready, days = ground.server.query(database, COUNTS)

        assert (jobs, events, ready) == (100, 140, 30)
        assert days > DAYS_BACK
        assert asyncio.run(violations(ground.server.url(database))) == []
        ground.server.drop(database)


def test_the_ids_are_version_7_and_tell_the_days_that_they_are_spread_over(ground: Ground) -> None:
    with ledger(ground, Fill(finished=70)) as database:
        ids = [UUID(text) for text in sample_ids(ground, database)]
        ground.server.drop(database)

    assert {each.version for each in ids} == {7}
    days = {made_at(each).date() for each in ids}
    assert len(days) == DAYS_BACK
    assert max(days) <= datetime.now(UTC).date() - timedelta(days=2)


def test_each_round_gets_a_copy_and_the_filled_one_is_made_once(ground: Ground) -> None:
    fill = Fill(waiting=10)
    with ledger(ground, fill) as first:
        ground.server.execute(first, "delete from ready")
        filled = ground.templates[fill.name]
    with ledger(ground, fill) as second:
        assert ground.server.query(second, "select count(*) from ready") == [10]
        assert ground.templates[fill.name] == filled
    for database in (first, second):
        ground.server.drop(database)
