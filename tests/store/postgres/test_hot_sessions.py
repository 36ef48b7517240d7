"""Sessions that flows of hot statements share: few when idle, one each when busy, and none handed on unclean."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from duly.store.postgres import hot_sessions
from duly.store.postgres.database import Database, HotConnection, RecordBusy
from duly.store.postgres.hot_sessions import BUSY_USES, IDLE_SESSIONS
from tests.support.service import BOUND_SECONDS, eventually

READ_PID = "select pg_backend_pid()"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def pid_of(flow: HotConnection) -> int:
    async with flow.use() as connection:
        pid: int = await connection.fetchval(READ_PID)
    return pid


async def be_busy(flow: HotConnection) -> int:
    for _ in range(BUSY_USES):
        await pid_of(flow)
    return await pid_of(flow)


async def test_flows_that_take_turns_share_a_session(database: Database) -> None:
    flows = [database.hot() for _ in range(10)]
    assert len({await pid_of(flow) for flow in flows}) == 1
    assert database.open_connections == 1


async def test_a_connection_of_its_own_is_lent_to_no_other_flow(database: Database) -> None:
    own = database.own()
    assert len({await pid_of(own), await pid_of(database.hot()), await pid_of(database.own())}) == 3


async def test_a_busy_flow_keeps_its_session(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)  # however slow the machine is
    busy, other = database.hot(), database.hot()
    kept = await be_busy(busy)
    taken = await pid_of(other)
    assert taken != kept
    assert await pid_of(busy) == kept
    assert await pid_of(database.hot()) == taken


async def test_flows_do_not_wait_for_one_that_is_stuck(database: Database) -> None:
    async with AsyncExitStack() as stack:
        stuck = [await stack.enter_async_context(database.hot().use()) for _ in range(IDLE_SESSIONS + 2)]
        pids = {connection.get_server_pid() for connection in stuck}
        assert len(pids) == len(stuck)
        async with asyncio.timeout(BOUND_SECONDS):
            assert await pid_of(database.hot()) not in pids


async def test_a_flow_waits_a_moment_for_a_session_before_it_opens_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_sessions, "TURN_SECONDS", BOUND_SECONDS)
    flows = [database.hot() for _ in range(12)]
    assert len(set(await asyncio.gather(*map(pid_of, flows)))) == IDLE_SESSIONS == database.open_connections


async def test_a_session_has_the_lock_timeout_of_the_flow_that_uses_it(database: Database) -> None:
    patient, hasty = database.hot(), database.hot(lock_seconds=0.05)
    async with database.connection() as holder, holder.transaction():
        await holder.execute("lock table inbox")
        for _ in range(2):
            async with patient.use() as connection:
                assert await connection.fetchval("show lock_timeout") == "0"
            with pytest.raises(RecordBusy):
                async with hasty.use() as connection:
                    await connection.execute("select from inbox")
    assert len({await pid_of(flow) for flow in (patient, hasty)}) == 1


async def test_sessions_that_nothing_uses_are_closed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_sessions, "IDLE_SECONDS", 0.05)
    barrier = asyncio.Barrier(6)

    async def use(flow: HotConnection) -> None:
        async with flow.use():
            await barrier.wait()

    await asyncio.gather(*(use(database.hot()) for _ in range(6)))

    async def few_are_open() -> bool:
        return database.open_connections == IDLE_SESSIONS

    await eventually(few_are_open)


async def test_each_is_closed_when_it_has_been_idle_not_a_period_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_sessions, "IDLE_SECONDS", BOUND_SECONDS)
    sessions = database._hot
    async with AsyncExitStack() as stack:
        for _ in range(IDLE_SESSIONS + 2):
            await stack.enter_async_context(database.hot().use())
    first, second, *_ = sorted(sessions._sessions, key=lambda session: session.released_at)

    first.released_at -= BOUND_SECONDS
    second.released_at -= BOUND_SECONDS / 2
    sessions._prune()
    assert first not in sessions._sessions
    assert second in sessions._sessions
    assert sessions._pruning is not None
    seconds = sessions._pruning.when() - asyncio.get_running_loop().time()
    assert seconds <= BOUND_SECONDS / 2


async def test_a_session_that_is_left_in_a_transaction_is_not_handed_on(database: Database) -> None:
    async with database.hot().use() as connection:
        await connection.transaction().start()
        left = connection.get_server_pid()
    assert await pid_of(database.hot()) != left


async def test_a_session_that_the_server_ended_is_replaced_unnoticed(database: Database) -> None:
    flow = database.hot()
    ended = await pid_of(flow)
    async with database.connection() as other:
        assert await other.fetchval("select pg_terminate_backend($1, 60000)", ended)

    async def was_noticed() -> bool:
        return all(connection.is_closed() for connection in database._hot.connections)

    await eventually(was_noticed)
    assert await pid_of(flow) != ended
