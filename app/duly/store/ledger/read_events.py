"""Reads of the table `events`. Event 0 of a job is its row in `jobs`."""

from uuid import UUID

from duly.domain.event_views import SubmissionEvent, SubmissionRecord
from duly.domain.events import Event, EventKind
from duly.store.postgres.database import Connection

READ_SUBMISSION = """
select tenant_id, job_id, created_at, parameters::text, coalesce(correlation_id, job_id::text), traceparent,
       type, queue, priority, timeout_seconds::text::float8, max_attempts, run_at, expires_at, unique_key,
       concurrency_key, depends_on, despite_failure, holds, labels::text, callback_url, callback_events, batch_id,
       parent_id
from jobs where tenant_id = $1 and job_id = $2
"""


async def read_submission(connection: Connection, tenant_id: int, job_id: UUID) -> SubmissionEvent | None:
    """Returns event 0 of a job; None if the tenant has no such job. Its data is the parameters."""
    row = await connection.fetchrow(READ_SUBMISSION, tenant_id, job_id)
    if row is None:
        return None
    submitted = Event(row[0], row[1], 0, EventKind.SUBMITTED, 0, row[2], "api", row[3])
    return SubmissionEvent(submitted, row[4], row[5], SubmissionRecord(*row[6:]))


READ_EVENTS_AFTER = """
select tenant_id, job_id, sequence, kind, attempt, occurred_at, source, data::text
from events where job_id = $2 and tenant_id = $1 and sequence > $3 order by sequence limit $4
"""


async def events_after(
    connection: Connection, tenant_id: int, job_id: UUID, *, sequence: int, limit: int
) -> list[Event]:
    """Returns up to `limit` events of the job after `sequence`, in order."""
    rows = await connection.fetch(READ_EVENTS_AFTER, tenant_id, job_id, sequence, limit)
    return [Event(row[0], row[1], row[2], EventKind(row[3]), row[4], row[5], row[6], row[7]) for row in rows]
