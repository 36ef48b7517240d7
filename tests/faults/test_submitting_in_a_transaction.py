"""Callers and nodes that die between the call of `duly.submit` and the record of the job: none invented, none lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
ORDER = "insert into orders select duly.submit('echo', json_build_object('n', $1::int)), $1"
CALLERS, DEATHS = 10, 1_000
# Moments of a caller's death: before its COMMIT, beside it, and after it.
BEFORE, BESIDE, AFTER = range(3)


@pytest.fixture
async def killer(database_url: str) -> Any:
    connection = await asyncpg.connect(database_url)
    await connection.execute("create table orders (job_id uuid, n int)")
    yield connection
    await connection.close()


CALLERS_GONE = "select not exists (select from pg_stat_activity where application_name = 'caller')"


async def _die(killer: asyncpg.Connection, lock: asyncio.Lock, url: str, number: int) -> None:
    """Orders in a transaction of a session that is killed."""
    caller = await asyncpg.connect(url, server_settings={"application_name": "caller"})
    moment = number % 3
    try:
        await caller.execute("begin")
        await caller.execute(ORDER.replace("$1", str(number)))
        commit = asyncio.create_task(caller.execute("commit")) if moment != BEFORE else None
        if moment == AFTER and commit is not None:
            await commit
        async with lock:
            await killer.fetchval("select pg_terminate_backend($1)", caller.get_server_pid())
        if commit is not None:
            await asyncio.gather(commit, return_exceptions=True)
    finally:
        caller.terminate()


async def test_a_thousand_callers_that_die_leave_a_job_for_each_order_and_no_other(
    start_service: StartService, killer: Any, database_url: str
) -> None:
    await start_service()
    lock, numbers = asyncio.Lock(), iter(range(DEATHS))

    async def call() -> None:
        for number in numbers:
            await _die(killer, lock, database_url, number)

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    await eventually(lambda: killer.fetchval(CALLERS_GONE))
    await _all_recorded(killer)
    orders = await killer.fetchval("select count(*) from orders")
    assert DEATHS / 3 <= orders < DEATHS
    assert await killer.fetchval("select count(*) from jobs") == orders
    assert await killer.fetchval("select count(*) from orders join jobs using (job_id)") == orders


async def test_nodes_that_lose_their_connections_record_each_submission_once(
    start_service: StartService, killer: Any
) -> None:
    for _ in range(2):
        await start_service(roles=("api",))
    for start in range(0, 1_000, 20):
        await killer.execute(f"{ORDER.replace('$1', 'n')} from generate_series({start}, {start + 19}) n")
        if start % 100 == 0:
            await killer.fetchval(KILL_ALL)
    await _all_recorded(killer)
    assert await killer.fetchval("select count(*) from orders join jobs using (job_id)") == 1_000
    assert await killer.fetchval("select count(*) from jobs") == 1_000


KILL_ALL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


async def _all_recorded(killer: asyncpg.Connection) -> None:
    async def inbox_is_empty() -> bool:
        return not await killer.fetchval("select exists (select from inbox)")

    await eventually(inbox_is_empty, seconds=60)
