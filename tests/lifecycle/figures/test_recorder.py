"""The recorder writes what was counted, keeps it while the database refuses, and writes nothing when idle."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import Finished, Lane
from duly.domain.minute_figures import ALL_QUEUES
from duly.lifecycle.figures.recorder import FigureRecorder
from duly.loop import Loop
from duly.store.figures.minute_figures import add_figures
from duly.store.postgres.database import Connection, Database, DatabaseOutage
from duly.telemetry.job_groups import ended_groups
from duly.telemetry.minute_counts import MinuteCounts
from tests.support.service import BOUND_SECONDS, Service, eventually, running_service

# Summed over the minutes: one may end between two counts.
ROWS = """
select queue, sum(submitted)::int, sum(ready)::int, sum(scheduled)::int, sum(running)::int
from minute_figures where tenant_id = 1 group by queue order by queue
"""
PARKED = Finished(new_job_id(), EventKind.PARKED, 2, Lane(1, "a", "echo", 0), None, delivers=False)
NODE = """
insert into nodes (node_id, name, version, roles, job_types, started_at, draining)
values ($1, 'other', '0', $2, '{}', now() - $3 * interval '1 hour', $4)
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def recorder_on(database: Database, node_id: UUID | None = None) -> tuple[FigureRecorder, MinuteCounts]:
    clock = DatabaseClock()
    counts = MinuteCounts(clock)
    chosen = node_id or uuid4()
    return FigureRecorder(database, counts, clock=clock, node_id=lambda: chosen, samples=True), counts


async def rows_in(database: Database) -> list[tuple[object, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(ROWS)]


async def test_an_idle_service_writes_nothing(database: Database) -> None:
    recorder, counts = recorder_on(database)
    async with database.connection() as connection:
        await connection.execute(NODE, recorder._node_id(), ["sweeper"], 1, False)
    counts.ended(ended_groups([PARKED]))
    await recorder.step()
    assert await rows_in(database) == []


async def test_counts_are_written_once(database: Database) -> None:
    recorder, counts = recorder_on(database)
    counts.submitted(Counter({(1, "a"): 2}))
    await recorder.flush()
    await recorder.flush()
    assert await rows_in(database) == [(ALL_QUEUES, 2, 0, 0, 0), ("a", 2, 0, 0, 0)]


async def test_a_write_waits_for_one_in_progress(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, counts = recorder_on(database)
    go_on = asyncio.Event()

    async def add_later(*arguments: Any) -> None:
        await go_on.wait()
        await add_figures(*arguments)

    monkeypatch.setattr("duly.lifecycle.figures.recorder.add_figures", add_later)
    counts.submitted(Counter({(1, "a"): 2}))
    first = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)  # it has taken the counts
    second = asyncio.create_task(recorder.flush())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not second.done()
    go_on.set()
    await second
    assert [row[:2] for row in await rows_in(database)] == [(ALL_QUEUES, 2), ("a", 2)]
    await first


async def test_counts_that_the_database_does_not_take_are_written_later(database: Database) -> None:
    away = Database("postgresql://127.0.0.1:1/none")
    recorder, counts = recorder_on(away)
    counts.submitted(Counter({(1, "a"): 2}))
    with pytest.raises(DatabaseOutage):
        await recorder.flush()
    await away.close()
    counts.submitted(Counter({(1, "a"): 1}))
    recorder._database = database
    await recorder.flush()
    assert [row[:2] for row in await rows_in(database)] == [(ALL_QUEUES, 3), ("a", 3)]


@pytest.mark.parametrize(
    ("others", "samples"),
    [
        ([], True),
        ([(["sweeper"], 2, False)], False),
        ([(["sweeper"], 2, True), (["api"], 3, False), (["sweeper"], 0, False)], True),
    ],
)
async def test_one_sweeper_takes_the_samples(
    database: Database, others: Sequence[tuple[list[str], int, bool]], *, samples: bool
) -> None:
    recorder, _ = recorder_on(database)
    async with database.connection() as connection:
        await connection.execute(NODE, recorder._node_id(), ["sweeper"], 1, False)
        for other in others:
            await connection.execute(NODE, uuid4(), *other)
        await connection.execute("insert into queues (tenant_id, queue) values (1, 'a')")
        await connection.execute(
            "insert into blocked (tenant_id, job_id, waits_for, reason, marks, token, sequence, timeout_seconds,"
            " priority, attempt, crashes, callback_events, queue, type)"
            " values (1, gen_random_uuid(), 1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 'a', 'echo')"
        )
        await recorder.sample()
        await connection.execute("delete from blocked")
    assert bool(await rows_in(database)) == samples


async def test_a_node_that_stops_writes_its_last_figures(database_url: str, database: Database) -> None:
    async with running_service(database_url) as service:
        await service.run("echo", 1, queue="last")
    assert ("last", 1) in [row[:2] for row in await rows_in(database)]


async def test_a_node_that_stops_waits_for_its_last_figures(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duly.lifecycle.figures.recorder.FLUSH_SECONDS", 3600.0)
    monkeypatch.setattr("duly.node.shutdown.LAST_FIGURES_SECONDS", BOUND_SECONDS)
    async with database.connection() as other, other.transaction():
        async with running_service(database_url) as service:
            await service.run("echo", 1, queue="last")
            await other.execute("lock table minute_figures in exclusive mode")
            slow = asyncio.create_task(_commit_once_waited_for(service, other))
        await slow
    assert ("last", 1) in [row[:2] for row in await rows_in(database)]


async def _commit_once_waited_for(service: Service, other: Connection) -> None:
    """Releases the table once a statement waits for it."""

    async def waited_for() -> bool:
        waits = "select exists (select from pg_locks where not granted and relation = 'minute_figures'::regclass)"
        return bool((await service.sql(waits))[0][0])

    await eventually(waited_for)
    await other.execute("commit; begin")


async def test_figures_that_are_being_written_when_the_node_stops_are_written_once(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def answered_late(*arguments: Any) -> None:
        await add_figures(*arguments)
        written.set()
        await go_on.wait()

    async with running_service(database_url) as service:
        monkeypatch.setattr("duly.lifecycle.figures.recorder.add_figures", answered_late)
        await service.run("echo", 1, queue="once")
        (loop,) = [loop for loop in service.node.loops if loop.name == "figures"]
        loop.wake()
        await asyncio.wait_for(written.wait(), BOUND_SECONDS)
        released = asyncio.create_task(_set_once_it_ends(loop, go_on))
    await released
    assert ("once", 1) in [row[:2] for row in await rows_in(database)]


async def _set_once_it_ends(loop: Loop, go_on: asyncio.Event) -> None:
    async def ends() -> bool:
        return loop._ending

    await eventually(ends)
    go_on.set()
