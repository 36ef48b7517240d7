"""A ledger that SQL filled is one that the service could have written."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from benchmarks import filled_ledgers, postgres_server
from benchmarks.filled_ledgers import DAYS_BACK, Fill, forget_templates, ledger, template
from benchmarks.growth import sample_ids
from benchmarks.run_context import SMALL, RunContext
from duly.domain.ids import made_at
from tests.support.invariants import violations
from tests.support.postgres_servers import Server

COUNTS = """
    select (select count(*) from jobs), (select count(*) from events), (select count(*) from ready),
           (select count(*) from pg_inherits where inhparent = 'jobs'::regclass)
"""


@pytest.fixture
def context(embedded_server_18: Server, tmp_path: Path) -> Iterator[RunContext]:
    """The server of the tests, with names of its own for databases and a template that has today's partitions."""
    server = postgres_server.Server(0, embedded_server_18.url_of)
    context = RunContext(server, tmp_path, SMALL)
    yield context
    forget_templates(context)
    for database in context.templates.values():
        server.drop(database)


def test_every_job_of_a_filled_ledger_keeps_the_invariants(context: RunContext) -> None:
    with ledger(context, Fill(waiting=30, finished=70)) as database:
        jobs, events, ready, days = context.server.query(database, COUNTS)

        assert (jobs, events, ready) == (100, 140, 30)
        assert days > DAYS_BACK
        assert asyncio.run(violations(context.server.url(database))) == []
        context.server.drop(database)


def test_the_ids_are_version_7_and_tell_the_days_that_they_are_spread_over(context: RunContext) -> None:
    with ledger(context, Fill(finished=70)) as database:
        ids = [UUID(text) for text in sample_ids(context, database)]
        context.server.drop(database)

    assert {each.version for each in ids} == {7}
    days = {made_at(each).date() for each in ids}
    assert len(days) == DAYS_BACK
    assert max(days) <= datetime.now(UTC).date() - timedelta(days=2)


def test_each_round_gets_a_copy_and_the_filled_one_is_made_once(context: RunContext) -> None:
    fill = Fill(waiting=10)
    with ledger(context, fill) as first:
        context.server.execute(first, "delete from ready")
        filled = context.templates[fill.name]
    with ledger(context, fill) as second:
        assert context.server.query(second, "select count(*) from ready") == [10]
        assert context.templates[fill.name] == filled
    for database in (first, second):
        context.server.drop(database)


def test_small_fills_are_kept_for_other_rows_and_large_ones_are_dropped(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = Fill(waiting=10)
    filled = template(context, fill)
    forget_templates(context)
    assert context.templates[fill.name] == filled

    monkeypatch.setattr(filled_ledgers, "SMALL_BYTES", 0)
    forget_templates(context)
    assert fill.name not in context.templates
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        context.server.query(filled, "select 1")
