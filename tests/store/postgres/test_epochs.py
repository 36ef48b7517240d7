"""Epochs: the numbers of transactions rise on each server that the database runs on."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from duly.domain.ids import SMALLEST, new_job_id
from duly.domain.job import NewJob
from duly.domain.stream_position import StreamPosition
from duly.store.ledger.event_tail import Moment, read_moment
from duly.store.postgres.database import Connection, Database, RecordBusy
from duly.store.postgres.epochs import begin_epoch
from duly.store.submit.jobs import record_jobs
from duly.stream.ledger_reader import LedgerReader
from tests.support.service import eventually

pytestmark = pytest.mark.fresh_database

# As if the rows came from another server.
ELSEWHERE = "update epochs set server_started_at = server_started_at - interval '1 day'"
NUMBERS = "select tx from jobs order by tx"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def record_one(connection: Connection) -> str:
    job = NewJob(1, new_job_id(), "echo", "default", 0, "{}", 60.0, 5)
    await record_jobs(connection, [job])
    return str(job.job_id)


async def moved(connection: Connection) -> None:
    """Begins an epoch, as after a restore on another server."""
    await connection.execute(ELSEWHERE)
    assert await begin_epoch(connection)


async def rest(connection: Connection) -> Moment:
    """Returns a moment at which no transaction is under way: autovacuum has some, also in other databases."""

    async def look() -> Moment | None:
        moment = await read_moment(connection)
        return moment if moment.settled == moment.future else None

    found: Moment = await eventually(look)
    return found


async def read_through(database: Database, after: StreamPosition) -> tuple[list[str], int]:
    """Returns the jobs after a position, and the number of pages."""
    async with database.connection() as connection:
        await rest(connection)
    reader, found, pages = LedgerReader(database, tenant_id=1), [], 0
    while True:
        page = await reader.read(after)
        found += [str(row.event.job_id) for row in page.rows]
        after, pages = page.reached, pages + 1
        if page.to_now:
            return found, pages


async def test_a_server_begins_one_epoch_and_the_first_one_adds_nothing(database: Database) -> None:
    async with database.connection() as connection:
        assert not await begin_epoch(connection)
        assert await connection.fetchval("select sum(shift) from epochs") == 0
        await moved(connection)
        assert not await begin_epoch(connection)
        assert await connection.fetchval("select count(*) from epochs") == 2


async def test_the_first_session_on_another_server_begins_its_epoch_before_it_is_used(
    database: Database, database_url: str
) -> None:
    async with database.connection() as connection:
        await connection.execute(ELSEWHERE)
        late = Database(database_url)
        async with late.connection(), late.connection():
            assert await connection.fetchval("select count(*) from epochs") == 2
        await late.close()
        await connection.execute(ELSEWHERE)
        async with database.connection():  # on the server that it knows, it does not look
            assert await connection.fetchval("select count(*) from epochs") == 2


async def test_a_session_is_opened_while_a_statement_holds_the_tables(database: Database, database_url: str) -> None:
    async with database.connection() as reader:
        await reader.execute(ELSEWHERE)
        async with reader.transaction():
            await reader.fetch("select count(*) from jobs")
            late = Database(database_url)
            async with late.connection() as connection:
                assert await connection.fetchval("select count(*) from epochs") == 1
            await late.close()


async def test_many_nodes_begin_it_once(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(ELSEWHERE)

    async def begin() -> bool:
        while True:
            try:
                async with database.connection() as connection:
                    return await begin_epoch(connection)
            except RecordBusy:
                await asyncio.sleep(0)

    assert sorted(await asyncio.gather(*(begin() for _ in range(5)))) == [False] * 4 + [True]


async def test_each_epoch_follows_all_numbers_of_those_before_it(database: Database) -> None:
    async with database.connection() as connection:
        for _ in range(3):
            await record_one(connection)
            future = (await read_moment(connection)).future
            await moved(connection)
            assert future < await connection.fetchval("select max(began) from epochs")
        await record_one(connection)
        moment = await rest(connection)
        numbers = [row[0] for row in await connection.fetch(NUMBERS)]
        assert numbers[-1] < moment.settled <= moment.future
        assert numbers[-1] >= await connection.fetchval("select max(began) from epochs")


async def test_a_clock_that_was_put_back_begins_no_epoch_below_another(database: Database) -> None:
    async with database.connection() as connection:
        await moved(connection)
        await connection.execute("update epochs set began = began + (1::bigint << 50) where began > 0")
        await connection.execute("update jobs set tx = 0")  # no row yet
        await record_one(connection)
        await connection.execute("update jobs set tx = (select max(began) + (1::bigint << 30) from epochs)")
        await moved(connection)
        began = await connection.fetchval("select max(began) from epochs")
        assert began > await connection.fetchval("select max(tx) from jobs")


async def test_every_position_of_any_epoch_resumes_with_exactly_what_follows(database: Database) -> None:
    async with database.connection() as connection:
        jobs, positions = [], []
        for _ in range(3):
            positions.append(StreamPosition((await rest(connection)).settled, SMALLEST, 0))
            jobs += [await record_one(connection), await record_one(connection)]
            await moved(connection)
        jobs.append(await record_one(connection))
    for number, position in enumerate(positions):
        found, pages = await read_through(database, position)
        assert found == jobs[2 * number :]
        assert pages < 150


async def test_a_position_of_an_epoch_that_was_lost_resumes_with_what_was_written_after_it(database: Database) -> None:
    async with database.connection() as connection:
        kept = await record_one(connection)
        await moved(connection)
        lost = await record_one(connection)
        position = StreamPosition((await read_moment(connection)).settled + 1_000_000, SMALLEST, 0)
        # The restore of a backup from before that epoch.
        await connection.execute("delete from jobs where job_id = $1", lost)
        await connection.execute("delete from ready where job_id = $1", lost)
        await connection.execute("delete from epochs where began > 0")
        await moved(connection)
        after = await record_one(connection)
    assert (await read_through(database, position))[0] == [after]
    assert (await read_through(database, StreamPosition(3, SMALLEST, 0)))[0] == [kept, after]


async def test_a_statement_that_reads_for_long_is_not_waited_for(database: Database) -> None:
    async with database.connection() as reader:
        await reader.execute(ELSEWHERE)
        async with reader.transaction():
            await reader.fetch("select count(*) from jobs")
            with pytest.raises(RecordBusy):
                async with database.connection() as connection:
                    await begin_epoch(connection)
        assert await begin_epoch(reader)


async def test_a_transaction_older_than_the_epoch_is_not_settled_before_it_ends(
    database: Database, database_url: str
) -> None:
    writer = await asyncpg.connect(database_url)
    async with database.connection() as connection:
        async with writer.transaction():
            await writer.execute("select pg_current_xact_id()")
            await moved(connection)
            await record_one(connection)
            early = await record_one(writer)
            held = (await read_moment(connection)).settled
        assert held <= await connection.fetchval("select tx from jobs where job_id = $1", early)
    await writer.close()
