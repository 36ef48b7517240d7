"""Reading and changing a tenant's endpoints costs the same however many other tenants have."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from duly.domain.ids import LARGEST
from duly.store.postgres.database import Connection, Database
from duly.store.webhooks.endpoints import (
    DELETE_ENDPOINT,
    INSERT_ENDPOINT,
    LIST_ENDPOINTS,
    READ_ENDPOINT,
    RESET_FAILURES,
    ROTATE_KEYS,
    UPDATE_ENDPOINT,
)
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.query_plans import explained

FILL = """
insert into endpoints (tenant_id, endpoint_id, events, url, secret)
select n % 50 + 1, md5(n::text)::uuid, n % 128, 'https://client.example.com/' || n, 'sealed:a:' || repeat('x', 90)
from generate_series(1, 40000) n
"""
FILL_RECEIVERS = """
insert into receivers (tenant_id, receiver_id, registered) select tenant_id, endpoint_id, true from endpoints
"""
ASKED = ("https://a.example", 8, None, None, None, None, False, None, None, None)
MINE = UUID("00000000-0000-7000-8000-000000000001")


@pytest.fixture(scope="module")
async def filled(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Connection]:
    """A connection such as a request's, on tables that hold the endpoints of fifty tenants. No test changes them."""
    async with databases_of(server).lent(fresh=True) as url:
        database = Database(url)
        async with database.connection() as connection:
            await connection.execute(FILL)
            await connection.execute(FILL_RECEIVERS)
            await connection.execute("analyze endpoints, receivers")
            await connection.fetchval(INSERT_ENDPOINT, 1, MINE, *ASKED, "sealed", None, 1_000)
            yield connection
        await database.close()


async def plan_of(connection: Connection, statement: str, *arguments: object) -> dict[str, Any]:
    """Returns the plan of a statement with its reads; its writes are rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return await explained(connection, statement, *arguments, analyze=True)
    finally:
        await transaction.rollback()


def read_whole(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that are read from one end to the other."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from read_whole(below)


def pages(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (READ_ENDPOINT, ()),
        (UPDATE_ENDPOINT, (*ASKED, None, None, True)),
        (RESET_FAILURES, ()),
        (ROTATE_KEYS, ("sealed", None, 86_400.0)),
        (DELETE_ENDPOINT, ()),
    ],
)
async def test_one_endpoint_is_found_by_its_key(
    filled: Connection, statement: str, arguments: tuple[object, ...]
) -> None:
    plan = await plan_of(filled, statement, 1, MINE, *arguments)
    assert list(read_whole(plan)) == []
    assert pages(plan) < 60


@pytest.mark.parametrize("statuses", [None, ["paused"]])
async def test_a_page_of_endpoints_reads_no_other_tenants(filled: Connection, statuses: list[str] | None) -> None:
    plan = await plan_of(filled, LIST_ENDPOINTS, 1, LARGEST, 8, statuses, 51)
    assert list(read_whole(plan)) == []
    assert pages(plan) < 801 * 5


async def test_counting_a_tenants_endpoints_reads_no_others(filled: Connection) -> None:
    plan = await plan_of(filled, INSERT_ENDPOINT, 1, LARGEST, *ASKED, "sealed", None, 1_000)
    assert list(read_whole(plan)) == []
    assert pages(plan) < 900
