"""What is asked of the ledger for children is found by whole keys."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from duly.store.children import CANCELLED, HOLDERS, LEFT_FAILED
from duly.store.database import Database
from duly.store.outcomes import ENDS, FIRST_UNENDED, MEMBERS

PARAMETERS = "select cardinality(parameter_types) from pg_prepared_statements where name = 'shown'"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("statement", [HOLDERS, CANCELLED, LEFT_FAILED, ENDS, FIRST_UNENDED, MEMBERS])
async def test_each_row_is_found_by_its_key(database_url: str, statement: str) -> None:
    database = Database(database_url)
    try:
        async with database.hot().use() as connection:
            await connection.execute(f"prepare shown as {statement}")
            count = await connection.fetchval(PARAMETERS)
            plan = await connection.fetchval(f"explain (format json) execute shown({', '.join(['null'] * count)})")
    finally:
        await database.close()
    read = [
        node
        for node in nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
        if "Relation Name" in node
    ]
    assert read
    assert [node for node in read if node["Node Type"] == "Seq Scan" or "Index Cond" not in node] == []
