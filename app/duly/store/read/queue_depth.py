"""How much waits, for `/metrics` and `/queues`: exact while it is little, from a sample of pages where it is much.

Counting ten million rows takes seconds, and whoever watches a queue of that length does not mind the last per cent.
"""

from typing import Literal

from duly.store.postgres.database import Connection

Table = Literal["ready", "scheduled", "blocked", "running", "deliveries"]

# Up to this size a table is read in full: some 80,000 rows.
READ_IN_FULL_BYTES = 8 << 20

SHARE = "select least(100, 100 * $2::float8 / greatest(pg_relation_size($1::text::regclass), 1))"


async def count_by_queue(connection: Connection, table: Table, *, tenant_id: int | None = None) -> dict[str, int]:
    """How many rows each queue has, where it has any: of one tenant, or of all."""
    share: float = await connection.fetchval(SHARE, table, READ_IN_FULL_BYTES)
    counted = f"""
        select queue, count(*) from {table} tablesample system ($1::real)
        where $2::int is null or tenant_id = $2 group by queue
    """
    return {row[0]: round(row[1] * 100 / share) for row in await connection.fetch(counted, share, tenant_id)}


async def count_all(connection: Connection, table: Table) -> int:
    share: float = await connection.fetchval(SHARE, table, READ_IN_FULL_BYTES)
    counted = f"select count(*) from {table} tablesample system ($1::real)"
    found: int = await connection.fetchval(counted, share)
    scaled: float = found * 100 / share
    return round(scaled)
