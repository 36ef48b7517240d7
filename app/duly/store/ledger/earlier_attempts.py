"""Reads of the table `events` about earlier attempts of a job."""

from uuid import UUID

from duly.domain.events import EventKind
from duly.store.postgres.database import Connection

READ_EARLIER_ATTEMPT = f"""
select attempt from events
where job_id = $2 and tenant_id = $1 and kind = {EventKind.STARTED:d} and sequence < $3
order by sequence desc limit 1 offset $4
"""


async def read_earlier_attempt(
    connection: Connection, tenant_id: int, job_id: UUID, *, before_sequence: int, skip: int
) -> int | None:
    """Returns the number of the last attempt that started before an event, passing over some; None if there is none."""
    number: int | None = await connection.fetchval(READ_EARLIER_ATTEMPT, tenant_id, job_id, before_sequence, skip)
    return number
