"""Run times of the newest completed jobs of a type, from their events."""

from collections.abc import Iterable

from duly.domain.events import EventKind, Status
from duly.store.postgres.database import Connection
from duly.store.read.access_paths import PLANS, ListFilter
from duly.store.read.list_jobs import find_jobs

SAMPLE = 1_000
# Bound of the search in types of which few jobs complete.
SEARCH_SECONDS = 0.2

# The start of the completed attempt is a few events before the end. After many progress events it is further back: for
# a first attempt it is the first start of the job.
READ_RUN_TIMES = f"""
select extract(epoch from e.occurred_at - coalesce(
    (
        select max(x.occurred_at) from (
            select kind, occurred_at from events
            where tenant_id = $1 and job_id = a.job_id order by sequence desc limit 20
        ) x
        where x.kind = {EventKind.STARTED:d}
    ),
    case when e.attempt = 1 then (
        select x.occurred_at from events x
        where x.tenant_id = $1 and x.job_id = a.job_id and x.kind = {EventKind.STARTED:d} order by x.sequence limit 1
    ) end
))::float8
from unnest($2::uuid[]) as a (job_id)
cross join lateral (
    select occurred_at, attempt, kind from events
    where tenant_id = $1 and job_id = a.job_id order by sequence desc limit 1
) e
where e.kind = {EventKind.COMPLETED:d}
"""


async def run_times(connection: Connection, tenant_id: int, job_types: Iterable[str]) -> dict[str, list[float]]:
    """Returns the seconds from start to end of the attempts that completed the newest jobs of each type, up to a
    thousand.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        return {job_type: await _of_type(connection, tenant_id, job_type) for job_type in job_types}


async def _of_type(connection: Connection, tenant_id: int, job_type: str) -> list[float]:
    wanted = ListFilter(types=[job_type], statuses=[Status.COMPLETED])
    found = await find_jobs(connection, tenant_id, wanted, limit=SAMPLE, seconds=SEARCH_SECONDS)
    rows = await connection.fetch(READ_RUN_TIMES, tenant_id, found.job_ids) if found.job_ids else []
    return [row[0] for row in rows if row[0] is not None]
