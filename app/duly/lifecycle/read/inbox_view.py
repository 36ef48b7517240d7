"""View of a submission in the inbox: the job that it will be, as a pending one."""

from collections.abc import Sequence
from uuid import UUID

import orjson

from duly.domain.events import Status
from duly.domain.job import JobView
from duly.store.postgres.database import Connection
from duly.store.submit.inbox import InboxRow, read_inbox


async def view_inbox(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[tuple[int, UUID], JobView]:
    """Returns views of those of these (tenant, job) that wait in the inbox."""
    return {key: _view(row) for key, row in (await read_inbox(connection, keys)).items()}


def _view(row: InboxRow) -> JobView:
    """Returns what is known before the submission is validated."""
    priority = _priority(row.options)
    return JobView(
        job_id=row.job_id,
        type=row.type,
        queue=row.queue,
        priority=priority,
        status=Status.PENDING,
        sequence=0,
        waiting_for=None,
        progress=None,
        progress_message=None,
        attempt=0,
        max_attempts=1,
        parameters=row.parameters,
        result=None,
        error=None,
        labels=None,
        batch_id=None,
        parent_id=None,
        depends_on=(),
        correlation_id=str(row.job_id),
        created_at=row.called_at,
        run_at=None,
        started_at=None,
        completed_at=None,
    )


def _priority(options: str) -> int:
    try:
        given = orjson.loads(options).get("priority")
    except orjson.JSONDecodeError:
        return 0
    return given if isinstance(given, int) else 0
