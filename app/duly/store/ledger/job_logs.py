"""Table `job_logs`: log lines of handlers, one row each, with the partitions of their jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.log_lines import LogLine
from duly.store.postgres.database import Connection

# Lines recorded by a statement whose response was lost are not changed.
RECORD_LOGS = """
insert into job_logs (tenant_id, job_id, token, line, attempt, level, logged_at, message, fields)
select tenant_id, job_id, token, line, attempt, level, logged_at, message, fields::json
from unnest($1::int[], $2::uuid[], $3::int[], $4::int[], $5::smallint[], $6::smallint[], $7::text[], $8::text[],
            $9::timestamptz[])
    as l (tenant_id, job_id, token, line, attempt, level, message, fields, logged_at)
on conflict (job_id, token, line) do nothing
"""


async def record_logs(connection: Connection, lines: Sequence[LogLine]) -> None:
    """Records these lines."""
    await connection.execute(RECORD_LOGS, *zip(*lines, strict=True))


class LogPosition(NamedTuple):
    """Position of a line in its job's logs. Tokens rise from attempt to attempt."""

    token: int
    line: int


class RecordedLine(NamedTuple):
    """Line as a reader sees it; `fields` is JSON text."""

    position: LogPosition
    attempt: int
    level: int
    message: str
    fields: str | None
    at: datetime


READ_LOGS_AFTER = """
select token, line, attempt, level, message, fields::text, logged_at from job_logs
where job_id = $2 and tenant_id = $1 and (token, line) > ($3, $4) and level >= $5
  and ($6::smallint is null or attempt = $6)
order by token, line limit $7
"""


async def read_logs_after(
    connection: Connection,
    tenant_id: int,
    job_id: UUID,
    *,
    after: LogPosition,
    least_level: int,
    attempt: int | None,
    limit: int,
) -> list[RecordedLine]:
    """Returns lines after `after`, in order, of at least this level, and of one attempt if `attempt` is given."""
    rows = await connection.fetch(READ_LOGS_AFTER, tenant_id, job_id, *after, least_level, attempt, limit)
    return [RecordedLine(LogPosition(row[0], row[1]), *row[2:]) for row in rows]


JOB_EXISTS = "select exists (select from jobs where tenant_id = $1 and job_id = $2)"


async def job_exists(connection: Connection, tenant_id: int, job_id: UUID) -> bool:
    """Returns whether the tenant has this job."""
    found: bool = await connection.fetchval(JOB_EXISTS, tenant_id, job_id)
    return found
