"""Claim restrictions of all tenants are read by one statement, whose cost depends on what is restricted."""

from collections.abc import AsyncIterator

import pytest

from duly.store.postgres.database import Connection, Database
from duly.store.queue.flow_control import READ_CONTROL, Control, read_control
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

TENANTS = 10_000
# Rows that restrict no claim: submission limits and their buckets, and breakers that have counted failures.
IDLE_TENANTS = (
    "insert into tenants (name) select 'tenant-' || n from generate_series(2, 10000) n",
    """
    insert into limits (tenant_id, scope, name, rate_count, rate_seconds, backlog, tokens)
    select tenant_id, scope, '', 10, 1, 1000, 10 from tenants cross join (values (0), (3), (4)) s (scope)
    """,
    """
    insert into breakers (tenant_id, type, state, failures, code)
    select tenant_id, 'echo', 0, 1, 'DOWN' from tenants
    """,
)
RESTRICTED = (
    "insert into queues (tenant_id, queue, paused_at) values (1, 'mail', now()), (7, 'mail', now()), (8, 'mail', null)",
    "insert into limits (tenant_id, scope, name, concurrency) values (2, 1, 'mail', 1), (3, 2, 'echo', 1)",
    "update breakers set state = 1 where tenant_id in (4, 5)",
)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    database = Database(database_url)
    hot = database.hot()
    async with hot.use() as opened:
        yield opened
    await database.close()


async def pages_read(connection: Connection) -> int:
    plan = await explained(connection, READ_CONTROL, analyze=True)
    top = next(iter(nodes_of(plan)))
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


async def test_tenants_without_restrictions_cost_nothing(connection: Connection) -> None:
    alone = await pages_read(connection)
    for statement in IDLE_TENANTS:
        await connection.execute(statement)
    assert await connection.fetchval("select count(*) from limits") == 3 * TENANTS
    assert await pages_read(connection) <= alone + 3  # roots of indexes that were empty
    assert await read_control(connection) == Control(version=1)


async def test_restrictions_of_all_tenants_are_read(connection: Connection) -> None:
    for statement in (*IDLE_TENANTS, *RESTRICTED):
        await connection.execute(statement)
    assert await read_control(connection) == Control(
        version=1,
        paused=frozenset({(1, "mail"), (7, "mail")}),
        queues=frozenset({(2, "mail")}),
        types=frozenset({(3, "echo")}),
        broken=frozenset({(4, "echo"), (5, "echo")}),
    )
