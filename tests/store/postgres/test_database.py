"""The pool: what one user leaves behind is not found by the next, and how many connections it takes."""

import asyncio

import pytest

from duly.store.postgres.database import BACKGROUND_CONNECTIONS, Database, DatabaseOutage
from tests.support.service import BOUND_SECONDS, eventually


async def test_a_transaction_that_was_cut_short_is_not_handed_to_the_next_user(database_url: str) -> None:
    database = Database(database_url, connections=1)

    async def cut_short() -> None:
        async with database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("create table left_behind ()")
            raise asyncio.CancelledError  # and no rollback: that was cancelled as well

    task = asyncio.ensure_future(cut_short())
    await asyncio.wait([task])
    assert task.cancelled()
    async with database.connection() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("select to_regclass('left_behind')") is None
    await database.close()


async def test_loops_that_look_now_and_then_share_two_connections(database_url: str) -> None:
    database = Database(database_url)
    both = asyncio.Barrier(BACKGROUND_CONNECTIONS)
    inside: set[int] = set()

    async def look(number: int) -> int:
        async with database.background():
            inside.add(number)
            await both.wait()  # until another has one
            at_once = len(inside)
            await both.wait()
            inside.remove(number)
            return at_once

    at_once = await asyncio.wait_for(asyncio.gather(*map(look, range(12))), BOUND_SECONDS)
    await database.close()
    assert set(at_once) == {BACKGROUND_CONNECTIONS} == {2}


async def test_a_connection_that_the_server_ended_is_replaced_unnoticed(database_url: str) -> None:
    database = Database(database_url, connections=2)
    async with database.connection() as first, database.connection() as other:
        ended = await first.fetchval("select pg_backend_pid()")
        assert await other.fetchval("select pg_terminate_backend($1, 60000)", ended)

        async def was_noticed() -> bool:
            return database.open_connections == 1

        await eventually(was_noticed)
    async with database.connection() as one, database.connection() as two:
        pids = [await connection.fetchval("select pg_backend_pid()") for connection in (one, two)]
    await database.close()
    assert ended not in pids


async def test_a_server_that_refuses_a_session_is_away_whatever_it_says(database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    database = Database(database_url.replace(f"/{name}", "/none_of_this_name", 1))
    for flow in (database.connection, database.hot().use):
        with pytest.raises(DatabaseOutage, match="none_of_this_name"):
            async with flow():
                pass
    await database.close()
