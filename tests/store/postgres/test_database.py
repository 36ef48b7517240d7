"""The pool: what one user leaves behind is not found by the next, and how many connections it takes."""

import asyncio

import pytest

from duly.store.postgres import turns
from duly.store.postgres.database import Database, DatabaseOutage
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


async def test_loops_that_look_now_and_then_share_a_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONG_TURN_SECONDS", 10 * BOUND_SECONDS)
    database = Database(database_url)

    async def look() -> int:
        async with database.background() as connection:
            pid: int = await connection.fetchval("select pg_backend_pid()")
            return pid

    pids = await asyncio.wait_for(asyncio.gather(*(look() for _ in range(12))), BOUND_SECONDS)
    assert (len(set(pids)), database.open_connections) == (1, 1)
    await database.close()


async def test_a_loop_whose_statement_takes_long_keeps_the_others_waiting_for_a_moment_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONG_TURN_SECONDS", 0.01)
    database = Database(database_url)
    async with asyncio.timeout(BOUND_SECONDS), database.background() as slow, database.background() as other:
        assert slow.get_server_pid() != other.get_server_pid()
        third = asyncio.ensure_future(database.background().__aenter__())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(third, 0.1)
    await database.close()


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
