"""Unfinished jobs of one type, for changes of its declaration."""

from collections.abc import AsyncIterator

from duly.domain.declared_type import EVERY_TENANT
from duly.domain.events import EventKind
from duly.domain.job import Mark
from duly.store.postgres.database import Connection

_OF_TYPE = f"type = $2 and (tenant_id = $1 or $1 = {EVERY_TENANT:d})"
_WAITING = " union all ".join(
    f"select tenant_id, job_id, marks from {table} where {_OF_TYPE}" for table in ("ready", "scheduled", "blocked")
)
# Rows at a time; the parameters of each may be large.
PAGE = 50

# Of a job that was debounced, the newest parameters are in its last event.
READ_PARAMETERS = f"""
select case when w.marks & {Mark.MERGED:d} <> 0 then (
           select (e.data -> 'parameters')::text from events e
           where e.tenant_id = w.tenant_id and e.job_id = w.job_id and e.kind = {EventKind.REQUEUED:d}
             and e.data -> 'parameters' is not null
           order by e.sequence desc limit 1
       ) else j.parameters::text end
from ({_WAITING} limit $3) w
cross join lateral (select parameters from jobs where tenant_id = w.tenant_id and job_id = w.job_id offset 0) j
"""


async def read_waiting_parameters(
    connection: Connection, tenant_id: int, job_type: str, *, limit: int
) -> AsyncIterator[str]:
    """Yields the parameters, as JSON text, of up to `limit` waiting jobs of a type, in a transaction of the caller's.
    `EVERY_TENANT`: those of all tenants.
    """
    async for row in connection.cursor(READ_PARAMETERS, tenant_id, job_type, limit, prefetch=PAGE):
        yield row[0]


COUNT_UNFINISHED = f"""
select count(*)::int from (
    {_WAITING} union all select tenant_id, job_id, marks from running where {_OF_TYPE} limit $3
) u
"""


async def count_unfinished(connection: Connection, tenant_id: int, job_type: str, *, limit: int) -> int:
    """Returns the number of jobs of a type that wait or run, up to `limit`."""
    count: int = await connection.fetchval(COUNT_UNFINISHED, tenant_id, job_type, limit)
    return count
