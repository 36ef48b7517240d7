"""Runs of a schedule: the due times that were run, newest first, with the current state of their jobs."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import JobView
from duly.store.postgres.database import Connection
from duly.store.queue.schedules import Key
from duly.store.read.job_view import view_each


class ScheduleRun(NamedTuple):
    """Run of a schedule. `job_id` is None where the due time was skipped; `job` also if the job was deleted since."""

    due_at: datetime
    job_id: UUID | None
    job: JobView | None


LIST_RUNS = """
select due_at, job_id from schedule_runs
where tenant_id = $1 and name = $2 and due_at < $3
order by due_at desc limit $4
"""


async def list_runs(connection: Connection, key: Key, *, before: datetime, limit: int) -> list[ScheduleRun]:
    """Returns a page of the runs of a schedule, newest first."""
    rows = await connection.fetch(LIST_RUNS, *key, before, limit)
    job_ids = [row[1] for row in rows if row[1] is not None]
    views = await view_each(connection, [(key[0], job_id) for job_id in job_ids]) if job_ids else []
    found = {view.job_id: view for view in views if view is not None}
    return [ScheduleRun(row[0], row[1], found.get(row[1])) for row in rows]
