"""The table `events`: reading what happened. Event 0 stands in `jobs`."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import Event, EventKind
from duly.store.postgres.database import Connection


class Asked(NamedTuple):
    """What a submission asked beyond its parameters, its secret left out. JSON members are text."""

    type: str
    queue: str
    priority: int
    timeout_seconds: float
    max_attempts: int
    run_at: datetime | None
    expires_at: datetime | None
    unique_key: str | None
    concurrency_key: str | None
    depends_on: Sequence[UUID] | None
    despite_failure: bool | None
    labels: str | None
    callback_url: str | None
    callback_events: int
    batch_id: UUID | None
    parent_id: UUID | None


class Origin(NamedTuple):
    """What all events of a job share, and what its submission asked."""

    event: Event
    correlation_id: str
    traceparent: str | None
    asked: Asked


ORIGIN = """
select tenant_id, job_id, created_at, parameters::text, coalesce(correlation_id, job_id::text), traceparent,
       type, queue, priority, timeout_seconds::text::float8, max_attempts, run_at, expires_at, unique_key,
       concurrency_key, depends_on, despite_failure, labels::text, callback_url, callback_events, batch_id, parent_id
from jobs where tenant_id = $1 and job_id = $2
"""


async def read_origin(connection: Connection, tenant_id: int, job_id: UUID) -> Origin | None:
    """Event 0 of a job, or None where this tenant has no such job. Its data is the parameters."""
    row = await connection.fetchrow(ORIGIN, tenant_id, job_id)
    if row is None:
        return None
    submitted = Event(row[0], row[1], 0, EventKind.SUBMITTED, 0, row[2], "api", row[3])
    return Origin(submitted, row[4], row[5], Asked(*row[6:]))


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
