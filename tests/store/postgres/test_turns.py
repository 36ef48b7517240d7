"""Turns on connections: in order of arrival, passed on when cancelled, and more of them only when all last long."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from duly.store.postgres import turns as turns_module
from duly.store.postgres.database import Database
from duly.store.postgres.turns import Turns
from tests.support.service import BOUND_SECONDS, eventually


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes users wait for their turn for much longer than the bound of a test."""
    monkeypatch.setattr(turns_module, "LONG_TURN_SECONDS", 10 * BOUND_SECONDS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "LONG_TURN_SECONDS", 0.01)


async def _noting(turns: Turns, name: str, order: list[str]) -> None:
    async with turns.turn():
        order.append(name)


async def _in_line(turns: Turns, names: str, order: list[str]) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.create_task(_noting(turns, name, order)) for name in names]

    async def all_wait() -> bool:
        return len(turns._waiting) == len(names)

    await eventually(all_wait)
    return tasks


@pytest.mark.usefixtures("patient")
async def test_turns_are_taken_in_order_of_arrival() -> None:
    turns, order = Turns(1), list[str]()
    async with asyncio.timeout(BOUND_SECONDS):
        async with turns.turn():
            tasks = await _in_line(turns, "abc", order)
            assert order == []
        await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    assert turns._held == 0


@pytest.mark.usefixtures("patient")
async def test_the_turn_of_a_user_that_is_cancelled_passes_to_the_next() -> None:
    turns, order = Turns(1), list[str]()
    async with asyncio.timeout(BOUND_SECONDS):
        async with turns.turn():
            first, second, third = await _in_line(turns, "abc", order)
            third.cancel()  # it waits
        first.cancel()  # the turn was handed to it, and it has not run yet
        await second
    assert order == ["b"]
    for task in (first, third):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert turns._held == 0
    assert not turns._waiting


@pytest.mark.usefixtures("impatient")
async def test_users_that_wait_for_long_get_turns_beside_the_others_up_to_a_bound() -> None:
    turns, order = Turns(1, when_stuck=2), list[str]()
    async with asyncio.timeout(BOUND_SECONDS), AsyncExitStack() as stack:
        await stack.enter_async_context(turns.turn())
        await stack.enter_async_context(turns.turn())
        (third,) = await _in_line(turns, "c", order)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(third), 0.1)
        await stack.aclose()
        await third
    assert turns._held == 0
    async with turns.turn():
        assert turns._held == 1


@pytest.mark.usefixtures("patient")
async def test_the_pool_leaves_the_hot_sessions_their_share(database_url: str) -> None:
    database = Database(database_url)
    async with asyncio.timeout(BOUND_SECONDS), AsyncExitStack() as stack:
        uses = [database.hot().use() for _ in range(4)]
        for use in uses:
            await use.__aenter__()
        reading = asyncio.create_task(stack.enter_async_context(database.connection()))

        async def waits_for_room() -> bool:
            return database._hot._shrinking == 1

        await eventually(waits_for_room)
        assert database.open_connections == 4
        await uses.pop().__aexit__(None, None, None)
        await reading
        assert (len(database._hot), database.open_connections) == (3, 4)
        waiting = asyncio.create_task(_use_once(database))

        async def waits_for_its_turn() -> bool:
            return len(database._hot._turns) == 1

        await eventually(waits_for_its_turn)
        await uses.pop().__aexit__(None, None, None)
        await waiting
        for use in uses:
            await use.__aexit__(None, None, None)
    await database.close()


async def _use_once(database: Database) -> None:
    async with database.hot().use() as connection:
        await connection.execute("select 1")


@pytest.mark.usefixtures("patient")
async def test_reads_take_turns_on_two_connections_and_hot_sessions_have_the_rest_again(database_url: str) -> None:
    database = Database(database_url)

    async def read() -> None:
        async with database.connection() as connection:
            await connection.execute("select 1")

    async with asyncio.timeout(BOUND_SECONDS):
        await asyncio.gather(*(read() for _ in range(20)))
        assert (database.open_connections, database._hot._most) == (2, 2)
        async with database.connection() as connection:
            connection.terminate()

        async def has_three() -> bool:
            return database._hot._most == 3

        await eventually(has_three)
    await database.close()
