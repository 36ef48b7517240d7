"""Table `endings`: ends whose follow-ups for other jobs are pending. Only marked jobs leave one."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Mark
from duly.store.postgres.database import Connection

TAKE_FOLLOW_UPS = """
delete from endings e using (
    select job_id, sequence from endings where job_id <> all($2)
    order by job_id, sequence limit $1 for update skip locked
) t
where e.job_id >= t.job_id and e.job_id <= t.job_id and e.sequence = any(array[t.sequence])
returning e.tenant_id, e.job_id, e.kind, e.marks
"""


class PendingFollowUp(NamedTuple):
    """End of a job whose follow-ups are pending."""

    tenant_id: int
    job_id: UUID
    kind: EventKind
    marks: int

    @property
    def keyed(self) -> bool:
        """Returns whether the job held a concurrency key."""
        return bool(self.marks & Mark.KEYED)

    @property
    def depended(self) -> bool:
        """Returns whether other jobs depend on it."""
        return bool(self.marks & Mark.DEPENDED)


async def take_pending_follow_ups(
    connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()
) -> list[PendingFollowUp]:
    """Takes up to `limit` ends, except those of some jobs, in the caller's transaction, which must execute their
    follow-ups.
    """
    return [
        PendingFollowUp(row[0], row[1], EventKind(row[2]), row[3])
        for row in await connection.fetch(TAKE_FOLLOW_UPS, limit, exclude)
    ]


FIND_STILL_ENDED = f"""
select a.job_id from unnest($1::uuid[]) as a (job_id) cross join lateral (
    select kind from events where job_id = a.job_id order by sequence desc limit 1
) e
where e.kind >= {FIRST_TERMINAL:d}
"""


async def find_still_ended(connection: Connection, jobs: Sequence[UUID]) -> list[UUID]:
    """Returns those of these jobs that were not retried since."""
    return [row[0] for row in await connection.fetch(FIND_STILL_ENDED, jobs)]
