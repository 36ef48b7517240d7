"""Table `jobs`: inserts of submissions, many at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import NewBatch, NewJob
from duly.store.ledger.outbox import DELIVERS, outbox
from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection
from duly.store.postgres.parameter_columns import compact, each_row
from duly.store.submit.batches import batch_columns

# Columns of a NewJob in order, with the types of their arrays; later ones are not stored with the job.
_COLUMNS = {
    "tenant_id": "int[]",
    "job_id": "uuid[]",
    "type": "text[]",
    "queue": "text[]",
    "priority": "smallint[]",
    "parameters": "text[]",
    "timeout_seconds": "real[]",
    "max_attempts": "smallint[]",
    "run_at": "timestamptz[]",
    "delay_seconds": "float8[]",
    "labels": "text[]",
    "callback_url": "text[]",
    "callback_secret": "text[]",
    "callback_events": "smallint[]",
    "correlation_id": "text[]",
    "traceparent": "text[]",
    "batch_id": "uuid[]",
}
COLUMNS = len(_COLUMNS)
# Ids give the rows; parameters differ as a rule.
_IN_FULL = {"job_id", "parameters"}
_ARRAYS = {name: f"${index}::{array}" for index, (name, array) in enumerate(_COLUMNS.items(), 1)}
_VALUES = (name if name in _IN_FULL else each_row(array, name) for name, array in _ARRAYS.items())
_ASKED = f"""
    select tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts,
           coalesce(run_at, now() + delay_seconds * interval '1 second') as run_at, labels, callback_url,
           callback_secret, callback_events, correlation_id, traceparent, batch_id, starts
    from (
        select {", ".join(_VALUES)}, {each_row("$18::bool[]", "starts")}
        from unnest({", ".join(_ARRAYS.values())}, $18::bool[]) as a ({", ".join(_ARRAYS)}, starts)
    ) a
"""
_RECORDED = """
    insert into jobs (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts,
                      run_at, labels, callback_url, callback_secret, callback_events, correlation_id, traceparent,
                      batch_id)
    select tenant_id, job_id, type, queue, priority, parameters::json, timeout_seconds, max_attempts,
           run_at, labels::jsonb, callback_url, callback_secret, callback_events, correlation_id, traceparent, batch_id
    from asked
"""
_NOW_READY = """
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type, batch_id)
    select tenant_id, job_id, 0, 0, timeout_seconds, priority, 0, 0, callback_events, queue, type, batch_id
    from {source} where (run_at is null or run_at <= now())
"""
_FOR_LATER = """
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, reason, queue, type, batch_id)
    select tenant_id, job_id, run_at, 0, 0, timeout_seconds, priority, 0, 0, callback_events, 0, queue, type, batch_id
    from {source} where run_at > now()
"""

# Most rounds start no job at once and record no batch. The statement below does the same for them, but each execution
# sets up its steps: 35 µs of 80, which is 2 µs of a job in a round of 16.
SUBMIT = f"""
with asked as materialized ({_ASKED}),
recorded as ({_RECORDED}),
now_ready as ({_NOW_READY.format(source="asked")}),
for_later as ({_FOR_LATER.format(source="asked")})
select now(), false, false
"""

# A statement cannot read the rows of `jobs` that it inserts.
_STARTING_EVENTS = f"(select *, 1 as sequence, {EventKind.STARTED:d}::smallint as kind from starting)"
_STARTING_JOB = "(select g.callback_url, g.labels::jsonb as labels)"

# Jobs with `starts` are recorded as running on the node that submits them, with the events of a claim (eager start).
# If that node knows an older version ($21) of the claim restrictions, all jobs are ready instead.
SUBMIT_STARTING = f"""
with asked as materialized ({_ASKED}),
may as materialized (select coalesce((select version = $21 from control where id = 1), false) as start),
recorded as ({_RECORDED}),
now_ready as ({_NOW_READY.format(source="asked")} and (starts is not true or not (select start from may))),
for_later as ({_FOR_LATER.format(source="asked")}),
starting as (select * from asked where starts and (select start from may)),
started as (
    insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt,
                         crashes, callback_events, queue, type, batch_id)
    select tenant_id, job_id, $19, now() + timeout_seconds * interval '1 second', 1, 1, timeout_seconds, priority, 1,
           0, callback_events, queue, type, batch_id
    from starting
),
told as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source)
    select tenant_id, job_id, 1, {EventKind.STARTED:d}, 1, $20 from starting
),
{outbox(_STARTING_EVENTS, job=_STARTING_JOB)},
together as (
    insert into batches (tenant_id, batch_id, name, first_id, last_id, total, then_job)
    select $22::int, $23::uuid, $24::text, $25::uuid, $26::uuid, $27::int, $28::json where $23::uuid is not null
)
select now(), (select start from may), {DELIVERS}
"""
_ALONE = (None,) * 7

# The same after a lost response: a job that is recorded already is neither changed nor counted.
SUBMIT_AGAIN = f"""
with asked as materialized ({_ASKED}),
recorded as (
    {_RECORDED} on conflict do nothing
    returning tenant_id, job_id, type, queue, priority, timeout_seconds, callback_events, run_at, batch_id
),
now_ready as ({_NOW_READY.format(source="recorded")}),
for_later as ({_FOR_LATER.format(source="recorded")})
select now() as at, count(*) as recorded from recorded
"""


class Starting(NamedTuple):
    """Eager start: which of the jobs start at once, on which node, the source of its events, and the version of claim
    restrictions that it knows.
    """

    node_id: UUID
    source: str
    version: int
    starts: Sequence[bool]


class RecordedAt(NamedTuple):
    """Time of the record; whether the jobs with an eager start were started; whether there are webhooks to send."""

    at: datetime
    started: bool
    delivers: bool


async def record_jobs(
    connection: Connection,
    jobs: Sequence[NewJob],
    *,
    starting: Starting | None = None,
    batch: NewBatch | None = None,
) -> RecordedAt:
    """Records new jobs without ties to others, each ready, scheduled or running, and the batch that they form, in one
    statement.
    """
    if starting is None and batch is None:
        return RecordedAt(*only(await connection.fetchrow(SUBMIT, *_columns(jobs), None)))
    node_id, source, version, starts = starting or (None, None, None, None)
    together = batch_columns(batch, jobs, total=len(jobs)) if batch else _ALONE
    given = (*_columns(jobs), starts and compact(starts), node_id, source, version, *together)
    return RecordedAt(*only(await connection.fetchrow(SUBMIT_STARTING, *given)))


def _columns(jobs: Sequence[NewJob]) -> list[Sequence[object] | None]:
    """Returns an array for each column, compact where all values are equal."""
    columns = zip(_COLUMNS, zip(*jobs, strict=True), strict=False)
    return [column if name in _IN_FULL else compact(column) for name, column in columns]


class Recorded(NamedTuple):
    """Time of the record, and the number of jobs that were new."""

    at: datetime
    jobs: int


async def record_jobs_again(connection: Connection, jobs: Sequence[NewJob]) -> Recorded:
    """Records those of the jobs that are not recorded, after a lost response."""
    return Recorded(*only(await connection.fetchrow(SUBMIT_AGAIN, *_columns(jobs), None)))


READ_CREATION_TIMES = """
select a.tenant_id, a.job_id, j.created_at from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (select created_at from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0) j
"""


async def read_creation_times(
    connection: Connection, keys: Sequence[tuple[int, UUID]]
) -> dict[tuple[int, UUID], datetime]:
    """Returns the creation time of each of these (tenant, job) that exists."""
    rows = await connection.fetch(READ_CREATION_TIMES, *(list(column) for column in zip(*keys, strict=True)))
    return {(row["tenant_id"], row["job_id"]): row["created_at"] for row in rows}
