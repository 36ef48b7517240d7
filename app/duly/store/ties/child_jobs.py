"""Child jobs: unfinished ones, and the leases of attempts that submit them."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.store.postgres.database import Connection

FIND_UNFINISHED_CHILDREN = f"""
select c.job_id from unnest($2::uuid[]) as a (job_id)
cross join lateral (
    select job_id from jobs where parent_id = a.job_id and tenant_id = $1 order by job_id offset 0
) c
cross join lateral (
    select coalesce((
        select kind from events where job_id = c.job_id and tenant_id = $1 order by sequence desc limit 1
    ), 0) as kind
) e
where e.kind < {FIRST_TERMINAL:d}
  and not exists (
      select from running n where n.job_id = c.job_id and n.tenant_id = $1 and n.cancel_requested_at is not null
  )
limit $3
"""


async def find_unfinished_children(
    connection: Connection, tenant_id: int, parents: Sequence[UUID], *, limit: int
) -> list[UUID]:
    """Returns jobs that these submitted, that have not ended and have no cancel request."""
    return [row[0] for row in await connection.fetch(FIND_UNFINISHED_CHILDREN, tenant_id, parents, limit)]


FIND_HOLDERS = """
select a.job_id, a.token, n.cancel_requested_at is not null
from unnest($1::int[], $2::uuid[], $3::int[]) as a (tenant_id, job_id, token)
cross join lateral (
    select token, cancel_requested_at from running where job_id = a.job_id and tenant_id = a.tenant_id offset 0
) n
where n.token = a.token
"""


async def holders(connection: Connection, attempts: Sequence[tuple[int, UUID, int]]) -> dict[tuple[UUID, int], bool]:
    """Returns those of these attempts (tenant, job, token) that hold their lease, as (job, token), and whether they
    have a cancel request.
    """
    rows = await connection.fetch(FIND_HOLDERS, *(list(column) for column in zip(*attempts, strict=True)))
    return {(row[0], row[1]): row[2] for row in rows}


READ_LINEAGE = "select correlation_id, traceparent from jobs where tenant_id = $1 and job_id = $2"


class Lineage(NamedTuple):
    """Correlation id and trace context of a job, which its child jobs inherit."""

    correlation_id: str | None = None
    traceparent: str | None = None


async def read_lineage(connection: Connection, tenant_id: int, job_id: UUID) -> Lineage:
    """Returns what the children of a job inherit; nothing for a job that does not exist."""
    row = await connection.fetchrow(READ_LINEAGE, tenant_id, job_id)
    return Lineage() if row is None else Lineage(*row)


FIND_CANCELLED = f"""
select a.job_id from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
left join lateral (
    select cancel_requested_at from running where job_id = a.job_id and tenant_id = a.tenant_id offset 0
) n on true
left join lateral (
    select kind from events where job_id = a.job_id and tenant_id = a.tenant_id order by sequence desc limit 1
) e on true
where n.cancel_requested_at is not null or e.kind = {EventKind.CANCELLED:d}
"""


async def find_cancelled(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> set[UUID]:
    """Returns those of these (tenant, job) that are cancelled or have a cancel request."""
    rows = await connection.fetch(FIND_CANCELLED, *(list(column) for column in zip(*keys, strict=True)))
    return {row[0] for row in rows}


# After a retry of the parent, failures of its earlier round do not count.
FIND_LEFT_FAILED = f"""
select a.child_id from unnest($1::int[], $2::uuid[], $3::uuid[]) as a (tenant_id, parent_id, child_id)
cross join lateral (
    select kind, occurred_at from events
    where job_id = a.child_id and tenant_id = a.tenant_id order by sequence desc limit 1
) c
cross join lateral (
    select occurred_at from events
    where job_id = a.parent_id and tenant_id = a.tenant_id
      and kind = {EventKind.REQUEUED:d} and data ->> 'reason' = 'retried'
    order by sequence desc limit 1
) p
where c.kind in ({EventKind.FAILED:d}, {EventKind.CANCELLED:d}) and c.occurred_at < p.occurred_at
"""


async def find_left_failed(connection: Connection, keys: Sequence[tuple[int, UUID, UUID]]) -> set[UUID]:
    """Returns the children of these (tenant, parent, child) that failed or were cancelled before their parent was
    retried.
    """
    rows = await connection.fetch(FIND_LEFT_FAILED, *(list(column) for column in zip(*keys, strict=True)))
    return {row[0] for row in rows}
