"""The table `events`: reading what happened. Event 0 stands in `jobs`."""

from typing import NamedTuple
from uuid import UUID

from duly.domain.events import Event, EventKind
from duly.store.database import Connection


class Origin(NamedTuple):
    """What all events of a job share, and what its submission asked."""

    event: Event
    type: str
    queue: str
    correlation_id: str
    traceparent: str | None


ORIGIN = """
select tenant_id, job_id, created_at, type, queue, coalesce(correlation_id, job_id::text), traceparent,
       parameters::text, priority, max_attempts, run_at, labels::text
from jobs where tenant_id = $1 and job_id = $2
"""


async def read_origin(connection: Connection, tenant_id: int, job_id: UUID) -> Origin | None:
    """Event 0 of a job, or None where this tenant has no such job. Its data is the parameters."""
    row = await connection.fetchrow(ORIGIN, tenant_id, job_id)
    if row is None:
        return None
    submitted = Event(row[0], row[1], 0, EventKind.SUBMITTED, 0, row[2], "api", row[7])
    return Origin(submitted, row[3], row[4], row[5], row[6])


AFTER = """
select tenant_id, job_id, sequence, kind, attempt, occurred_at, source, data::text
from events where job_id = $2 and tenant_id = $1 and sequence > $3 order by sequence limit $4
"""


async def events_after(
    connection: Connection, tenant_id: int, job_id: UUID, *, sequence: int, limit: int
) -> list[Event]:
    """The job's events beyond `sequence`, oldest first."""
    rows = await connection.fetch(AFTER, tenant_id, job_id, sequence, limit)
    return [Event(row[0], row[1], row[2], EventKind(row[3]), row[4], row[5], row[6], row[7]) for row in rows]
