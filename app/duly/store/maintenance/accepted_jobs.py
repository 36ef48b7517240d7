"""Records of jobs that clients know, of all tenants."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection

# By the unique index of ids; its condition is always true.
READ_ACCEPTED = """
select a.job_id, j.job_id is not null or i.job_id is not null, coalesce(e.sequence, 0)
from unnest($1::uuid[]) as a (job_id)
left join lateral (select job_id from jobs where job_id = a.job_id and type <> '' offset 0) j on true
left join lateral (select job_id from inbox where job_id = a.job_id offset 0) i on true
left join lateral (
    select sequence from events where job_id = a.job_id order by sequence desc limit 1
) e on true
"""


class AcceptedRecord(NamedTuple):
    """Job that may be recorded, in the ledger or the inbox, with the sequence of its last event."""

    job_id: UUID
    recorded: bool
    sequence: int


async def read_accepted(connection: Connection, ids: Sequence[UUID]) -> list[AcceptedRecord]:
    """Returns a record for each of these ids."""
    return [AcceptedRecord(*row) for row in await connection.fetch(READ_ACCEPTED, ids)]
