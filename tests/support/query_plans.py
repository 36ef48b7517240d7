"""Query plans of Postgres as values."""

import json
from collections.abc import Iterator
from typing import Any

from duly.store.postgres.database import Connection
from tests.support.service import eventually

_ALL_VISIBLE = """
select coalesce(bool_and(relallvisible >= relpages), true) from pg_class
where relkind = 'r' and (oid = $1::text::regclass or oid in (select relid from pg_partition_tree($1::text::regclass)))
"""


async def explained(connection: Connection, statement: str, *arguments: Any, analyze: bool = False) -> dict[str, Any]:
    """Returns the plan of a statement; with `analyze`, the statement is executed."""
    how = "analyze, buffers, format json" if analyze else "format json"
    text = await connection.fetchval(f"explain ({how}) {statement}", *arguments)
    plan: dict[str, Any] = json.loads(text)[0]["Plan"]
    return plan


async def vacuum(connection: Connection, *tables: str) -> None:
    """Vacuums and analyses tables until every page of them is all-visible: a snapshot of another session, such as one
    of autovacuum that analyses a catalog, makes a vacuum leave rows and pages out.
    """
    for table in tables:

        async def vacuumed(table: str = table) -> bool:
            await connection.execute(f"vacuum analyze {table}")
            return bool(await connection.fetchval(_ALL_VISIBLE, table))

        await eventually(vacuumed)


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields a node of a plan and all nodes below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)
