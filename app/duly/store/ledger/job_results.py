"""Ends of jobs, for readers that wait for them or read a whole batch."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.store.postgres.database import Connection


class Ended(NamedTuple):
    """End of a job; `data` is its result or its error as JSON text."""

    job_id: UUID
    kind: EventKind
    data: str | None


# No job is before `$3` or after `$4`: an execution does not open the partitions of other days.
READ_ENDS = f"""
select a.job_id, e.kind, e.data::text from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (
    select kind, data from events
    where job_id = a.job_id and job_id >= $3 and job_id <= $4 and tenant_id = a.tenant_id order by sequence desc limit 1
) e
where e.kind >= {FIRST_TERMINAL:d}
"""


async def read_ends(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, Ended]:
    """Returns the ends of those of these (tenant, job) that have ended."""
    tenants, job_ids = zip(*keys, strict=True)
    rows = await connection.fetch(READ_ENDS, tenants, job_ids, min(job_ids), max(job_ids))
    return {row[0]: Ended(row[0], EventKind(row[1]), row[2]) for row in rows}


FIND_FIRST_UNENDED = f"""
select a.place from unnest($2::uuid[]) with ordinality as a (job_id, place)
where coalesce((
    select kind from events e where e.job_id = a.job_id and e.tenant_id = $1 order by sequence desc limit 1
), 0) < {FIRST_TERMINAL:d}
order by a.place limit 1
"""


async def find_first_unended(connection: Connection, tenant_id: int, job_ids: Sequence[UUID]) -> int | None:
    """Returns the index of the first of these jobs that has not ended; None if all have."""
    place: int | None = await connection.fetchval(FIND_FIRST_UNENDED, tenant_id, job_ids)
    return place - 1 if place is not None else None


FIND_LAST_UNENDED = f"""
select a.job_id from unnest($2::uuid[]) with ordinality as a (job_id, place)
where coalesce((
    select kind from events e where e.job_id = a.job_id and e.tenant_id = $1 order by sequence desc limit 1
), 0) < {FIRST_TERMINAL:d}
order by a.place desc limit $3
"""


async def find_last_unended(
    connection: Connection, tenant_id: int, job_ids: Sequence[UUID], *, limit: int
) -> list[UUID]:
    """Returns the last of these jobs that have not ended, the last one first."""
    return [row[0] for row in await connection.fetch(FIND_LAST_UNENDED, tenant_id, job_ids, limit)]


READ_MEMBERS_AFTER = """
select j.job_id from batches b cross join lateral (
    select job_id from jobs
    where tenant_id = $1 and job_id > $3 and job_id >= b.first_id and job_id <= b.last_id and batch_id = $2
    order by job_id limit $4
) j
where b.tenant_id = $1 and b.batch_id = $2
order by j.job_id
"""


async def read_members_after(
    connection: Connection, tenant_id: int, batch_id: UUID, after: UUID, *, limit: int
) -> list[UUID]:
    """Returns the next jobs of a batch, in the order of their submission."""
    return [row[0] for row in await connection.fetch(READ_MEMBERS_AFTER, tenant_id, batch_id, after, limit)]
