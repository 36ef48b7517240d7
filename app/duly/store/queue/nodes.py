"""Table `nodes`: one row for each process, kept alive by an update every few seconds."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection


def leased_type_key(tenant_id: int, job_type: str) -> str:
    """Returns a tenant and its job type as an element of `leased_types`."""
    return f"{tenant_id} {job_type}"


class NodeRecord(NamedTuple):
    """Node as it registers."""

    node_id: UUID
    name: str
    version: str
    roles: Sequence[str]
    job_types: Sequence[str]
    schedules: Sequence[str] = ()
    slots: int = 0


INSERT_NODE = """
insert into nodes (node_id, name, version, roles, job_types, schedules, slots) values ($1, $2, $3, $4, $5, $6, $7)
"""


async def register(connection: Connection, node: NodeRecord) -> None:
    """Inserts a node."""
    await connection.execute(INSERT_NODE, *node)


REPLACE_HANDLERS = "update nodes set job_types = $2, schedules = $3 where node_id = $1"


async def replace_handlers(connection: Connection, node: NodeRecord) -> None:
    """Replaces the job types and schedules of a node."""
    await connection.execute(REPLACE_HANDLERS, node.node_id, node.job_types, node.schedules)


class NodeReport(NamedTuple):
    """State that a node stores with each heartbeat.

    Attributes:
        rates: JSON of its counters by queue.
        leased_types: keys of the job types that workers over HTTP claim from it.
        busy_slots: number of its slots in use.
    """

    rates: str | None = None
    leased_types: Sequence[str] = ()
    busy_slots: int = 0


RENEW_LEASE = """
with beat as (
    update nodes set heartbeat_at = now(), draining = $2, rates = $3::json, leased_types = $4::text[],
                     busy_slots = $5
    where node_id = $1 returning node_id
)
select (select count(*) from nodes), clock_timestamp(), pg_current_xact_id()::text::bigint,
       array(select job_id from running where node_id = $1 and cancel_requested_at is not null)
from beat
"""


class RenewedLease(NamedTuple):
    """Result of a heartbeat.

    Attributes:
        listed: number of listed nodes.
        at: the time by the database's clock.
        transaction: ID of the transaction of the heartbeat.
        cancelled: jobs on this node with a cancel request.
    """

    listed: int
    at: datetime
    transaction: int
    cancelled: Sequence[UUID]


async def beat(connection: Connection, node_id: UUID, *, draining: bool, report: NodeReport) -> RenewedLease | None:
    """Renews the lease of this node. Returns None if it was declared lost."""
    row = await connection.fetchrow(RENEW_LEASE, node_id, draining, *report)
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


class ListedNode(NamedTuple):
    """Node as it is listed. `slots`: jobs that it can run at once; `busy_slots`: as of its last heartbeat."""

    node_id: UUID
    name: str
    version: str
    roles: Sequence[str]
    slots: int
    busy_slots: int
    started_at: datetime
    heartbeat_at: datetime
    draining: bool
    late: bool


LIST_NODES = """
select node_id, name, version, roles, slots, busy_slots, started_at, heartbeat_at, draining,
       heartbeat_at < now() - $1 * interval '1 second'
from nodes order by started_at, node_id limit $2
"""


async def list_nodes(connection: Connection, *, late_seconds: float, limit: int) -> list[ListedNode]:
    """Returns the listed nodes, the oldest first. One is late if its last heartbeat is older than this."""
    return [ListedNode(*row) for row in await connection.fetch(LIST_NODES, late_seconds, limit)]


COUNT_HANDLING_NODES = """
select t.type, count(*) from nodes, unnest(job_types) as t (type)
where 'worker' = any(roles) and not draining group by t.type
"""


async def count_handling_nodes(connection: Connection) -> dict[str, int]:
    """Returns the number of live nodes with a handler for each type."""
    return {row[0]: row[1] for row in await connection.fetch(COUNT_HANDLING_NODES)}


COUNT_WORKERS = """
select t.type, (
    select count(*) from nodes
    where not draining and (t.type = any(job_types) and 'worker' = any(roles) or t.key = any(leased_types))
)
from unnest($1::text[], $2::text[]) as t (type, key)
"""


async def count_workers(connection: Connection, tenant_id: int, types: Sequence[str]) -> dict[str, int]:
    """Returns the number of live nodes that run jobs of each of these types, or lease them to workers over HTTP."""
    keys = [leased_type_key(tenant_id, each) for each in types]
    return {row[0]: row[1] for row in await connection.fetch(COUNT_WORKERS, types, keys)}


COUNT_DECLARING = """
select s.name, count(*) from nodes, unnest(schedules) as s (name)
where 'worker' = any(roles) and not draining group by s.name
"""


async def count_declaring(connection: Connection) -> dict[str, int]:
    """Returns the number of live workers whose code declares each schedule."""
    return {row[0]: row[1] for row in await connection.fetch(COUNT_DECLARING)}
