"""Table `nodes`: one row for each process, kept alive by an update every few seconds."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection


class NodeRecord(NamedTuple):
    """Node as it registers."""

    node_id: UUID
    name: str
    version: str
    roles: Sequence[str]
    job_types: Sequence[str]


INSERT_NODE = "insert into nodes (node_id, name, version, roles, job_types) values ($1, $2, $3, $4, $5)"


async def register(connection: Connection, node: NodeRecord) -> None:
    """Inserts a node."""
    await connection.execute(INSERT_NODE, *node)


RENEW_LEASE = """
with beat as (
    update nodes set heartbeat_at = now(), draining = $2, rates = $3::json where node_id = $1 returning node_id
)
select (select count(*) from nodes), clock_timestamp() from beat
"""


class RenewedLease(NamedTuple):
    """Number of listed nodes, and the time by the database's clock."""

    listed: int
    at: datetime


async def beat(
    connection: Connection, node_id: UUID, *, draining: bool, rates: str | None = None
) -> RenewedLease | None:
    """Renews the lease of this node; `rates` is the JSON of its counters by queue.

    Returns None if this node was declared lost.
    """
    row = await connection.fetchrow(RENEW_LEASE, node_id, draining, rates)
    return None if row is None else RenewedLease(*row)


class SilentNode(NamedTuple):
    """Node whose lease has expired."""

    node_id: UUID
    name: str
    expired_seconds_ago: float


DELETE_SILENT_NODES = """
delete from nodes where heartbeat_at < now() - $1 * interval '1 second' and node_id <> $2
returning node_id, name, extract(epoch from now() - heartbeat_at)::float8 - $1
"""


async def delete_silent_nodes(connection: Connection, *, lease_seconds: float, exclude: UUID) -> list[SilentNode]:
    """Deletes silent nodes, which makes their attempts lost. Returns the nodes."""
    return [SilentNode(*row) for row in await connection.fetch(DELETE_SILENT_NODES, lease_seconds, exclude)]


async def leave(connection: Connection, node_id: UUID) -> None:
    """Deletes this node."""
    await connection.execute("delete from nodes where node_id = $1", node_id)


COUNT_WORKERS = """
select t.type, count(*) from nodes, unnest(job_types) as t (type)
where 'worker' = any(roles) and not draining group by t.type
"""


async def count_workers(connection: Connection) -> dict[str, int]:
    """Returns the number of live nodes that run jobs of each type."""
    return {row[0]: row[1] for row in await connection.fetch(COUNT_WORKERS)}
