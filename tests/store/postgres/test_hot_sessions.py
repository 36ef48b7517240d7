"""Sessions that flows of hot statements share: few when idle, one each when busy, and none handed on unclean."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import pytest

from duly.store.postgres import hot_sessions
from duly.store.postgres.database import CONNECTIONS, OWN_CONNECTIONS, Database, HotConnection, RecordBusy
from duly.store.postgres.database_connector import Session
from duly.store.postgres.database_errors import DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER
from duly.store.postgres.hot_sessions import BUSY_USES, IDLE_SESSIONS, MOST_WHEN_STUCK
from tests.support.service import BOUND_SECONDS, eventually

# Hot sessions while the pool has opened no connection.
MOST_SESSIONS = CONNECTIONS - OWN_CONNECTIONS
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


async def opened_both(database: Database) -> None:
    async def two_are_open() -> bool:
        return database.open_connections == 2

    await eventually(two_are_open)


async def ended_opening(database: Database) -> None:
    async def nothing_is_opened() -> bool:
        return database._hot._opening_ahead is None

    await eventually(nothing_is_opened)


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
    await pid_of(other)
    await opened_both(database)
    own = await pid_of(busy)
    taken = await pid_of(other)
    assert {own, taken} > {kept}
    assert await pid_of(busy) == own
    assert await pid_of(database.hot()) == taken


async def test_a_kept_session_is_borrowed_while_another_is_opened(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening one takes as long as ten statements, which a notification would wait for."""
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)
    busy, opened = database.hot(), asyncio.Event()
    kept = await be_busy(busy)
    connect = database._hot._connect

    async def connect_when_let(settings: Mapping[str, str]) -> Session:
        await opened.wait()
        return await connect(settings)

    database._hot._connect = connect_when_let
    async with asyncio.timeout(BOUND_SECONDS):
        assert {await pid_of(database.hot()) for _ in range(3)} | {await pid_of(busy)} == {kept}
    opened.set()
    await opened_both(database)
    assert len({await be_busy(busy), await pid_of(database.hot())}) == 2
    assert database.open_connections == 2


@pytest.mark.parametrize(("pause", "attempts"), [(0.0, 3), (10 * BOUND_SECONDS, 1)])
async def test_a_session_that_cannot_be_opened_ahead_is_tried_again_after_a_pause(
    database: Database, monkeypatch: pytest.MonkeyPatch, pause: float, attempts: int
) -> None:
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)
    monkeypatch.setattr(hot_sessions, "REFUSED_SECONDS", pause)
    busy, refused, tried = database.hot(), 0, asyncio.Event()
    kept = await be_busy(busy)

    async def connect_in_vain(settings: Mapping[str, str]) -> Session:
        nonlocal refused
        refused += 1
        tried.set()
        raise DatabaseOutage("no connection", NO_ANSWER)

    monkeypatch.setattr(database._hot, "_connect", connect_in_vain)
    for _ in range(3):
        assert await be_busy(busy) == await pid_of(database.hot()) == kept
        await asyncio.wait_for(tried.wait(), BOUND_SECONDS)
        if pause == 0:
            await ended_opening(database)
    assert refused == attempts


async def test_closing_ends_the_opening_of_a_session(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)
    await be_busy(database.hot())
    tried = asyncio.Event()

    async def connect_for_ever(settings: Mapping[str, str]) -> Session:
        tried.set()
        never: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        return await never

    database._hot._connect = connect_for_ever
    await pid_of(database.hot())
    await asyncio.wait_for(tried.wait(), BOUND_SECONDS)
    async with asyncio.timeout(BOUND_SECONDS):
        await database._hot.close()
    assert len(database._hot) == 0


async def test_flows_do_not_wait_for_long_for_those_that_are_stuck(database: Database) -> None:
    async with AsyncExitStack() as stack:
        stuck = [await stack.enter_async_context(database.hot().use()) for _ in range(IDLE_SESSIONS + 2)]
        pids = {connection.get_server_pid() for connection in stuck}
        assert len(pids) == len(stuck)
        async with asyncio.timeout(BOUND_SECONDS):
            assert await pid_of(database.hot()) not in pids


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes flows wait for their turn for much longer than the bound of a test."""
    monkeypatch.setattr(hot_sessions, "LONG_TURN_SECONDS", 10 * BOUND_SECONDS)


@pytest.mark.usefixtures("patient")
async def test_busy_flows_keep_no_other_from_its_turn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)
    stopped = asyncio.Event()

    async def be_busy_until_stopped() -> None:
        flow = database.hot()
        while not stopped.is_set():
            await pid_of(flow)  # takes its session again at once, without a pause

    async def all_sessions_are_open() -> bool:
        return len(database._hot) == MOST_SESSIONS

    busy = asyncio.gather(*(be_busy_until_stopped() for _ in range(MOST_SESSIONS)))
    await eventually(all_sessions_are_open)
    async with asyncio.timeout(BOUND_SECONDS):
        for _ in range(20):
            await pid_of(database.hot())
    assert len(database._hot) == MOST_SESSIONS
    stopped.set()
    await busy


async def all_in_use(database: Database, stack: AsyncExitStack) -> list[AbstractAsyncContextManager[object]]:
    """Takes all sessions that may be opened, and returns what releases each of them."""
    uses: list[AbstractAsyncContextManager[object]] = [database.hot().use() for _ in range(MOST_SESSIONS)]
    for use in uses:
        await use.__aenter__()
    stack.push_async_callback(_released, uses)
    return uses


async def _released(uses: list[AbstractAsyncContextManager[object]]) -> None:
    for use in uses:
        await use.__aexit__(None, None, None)


async def _in_line(database: Database, count: int) -> list["asyncio.Task[int]"]:
    """Returns the tasks of flows that wait for a session."""
    tasks = [asyncio.create_task(pid_of(database.hot())) for _ in range(count)]

    async def all_wait() -> bool:
        return len(database._hot._turns) == count

    await eventually(all_wait)
    return tasks


@pytest.mark.usefixtures("patient")
async def test_the_turn_of_a_flow_that_is_cancelled_passes_to_the_next(database: Database) -> None:
    async with AsyncExitStack() as stack:
        uses = await all_in_use(database, stack)
        first, second, third = await _in_line(database, 3)
        third.cancel()  # it waits
        await _released([uses.pop()])  # handed to the first, which has not run yet
        first.cancel()
        async with asyncio.timeout(BOUND_SECONDS):
            assert await second
        for task in (first, third):
            with pytest.raises(asyncio.CancelledError):
                await task
    assert not database._hot._turns


@pytest.mark.usefixtures("patient")
async def test_a_session_that_breaks_leaves_room_for_another(database: Database) -> None:
    async with AsyncExitStack() as stack:
        uses = await all_in_use(database, stack)
        (waiting,) = await _in_line(database, 1)
        broken = next(iter(database._hot.connections))
        broken.terminate()
        await _released(uses)
        uses.clear()
        async with asyncio.timeout(BOUND_SECONDS):
            assert await waiting != 0


async def test_more_are_opened_when_all_are_stuck_up_to_a_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_sessions, "LONG_TURN_SECONDS", 0.01)
    async with AsyncExitStack() as stack:
        for _ in range(MOST_WHEN_STUCK - 1):
            await stack.enter_async_context(database.hot().use())
        async with database.hot().use():
            (waiting,) = await _in_line(database, 1)
            assert len(database._hot) == MOST_WHEN_STUCK
        async with asyncio.timeout(BOUND_SECONDS):
            assert await waiting
        assert len(database._hot) == MOST_WHEN_STUCK


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
