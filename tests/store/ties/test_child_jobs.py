"""Queries of the ledger for child jobs use complete keys."""

import pytest

from duly.domain.ids import LARGEST, SMALLEST
from duly.store.ledger.job_results import FIND_FIRST_UNENDED, READ_ENDS, READ_MEMBERS_AFTER
from duly.store.postgres.database import Database
from duly.store.ties.child_jobs import FIND_CANCELLED, FIND_HOLDERS, FIND_LEFT_FAILED
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

PARAMETERS = "select parameter_types::text[] from pg_prepared_statements where name = 'shown'"


@pytest.mark.parametrize(
    "statement", [FIND_HOLDERS, FIND_CANCELLED, FIND_LEFT_FAILED, READ_ENDS, FIND_FIRST_UNENDED, READ_MEMBERS_AFTER]
)
async def test_each_row_is_found_by_its_key(database_url: str, statement: str) -> None:
    database = Database(database_url)
    try:
        async with database.hot().use() as connection:
            await connection.execute(f"prepare shown as {statement}")
            types = await connection.fetchval(PARAMETERS)
            # Bounds of the ids decide which days are left out as it runs; the rest has no part in the plan.
            bounds = iter((SMALLEST, LARGEST))
            values = [f"'{next(bounds)}'" if name == "uuid" else "null" for name in types]
            plan = await explained(connection, f"execute shown({', '.join(values)})")
    finally:
        await database.close()
    read = [node for node in nodes_of(plan) if "Relation Name" in node]
    assert read
    assert [node for node in read if node["Node Type"] == "Seq Scan" or "Index Cond" not in node] == []
