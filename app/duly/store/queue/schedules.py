"""Tables `schedules` and `schedule_runs`: recurrences, and the due times that were run."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL
from duly.domain.schedule import CatchUp, Overlap, Recurrence, Run, Schedule
from duly.store.postgres.catalog_types import Record, only
from duly.store.postgres.database import Connection

Key = tuple[int, str]  # tenant and name

# `submission` has both the submission as sent and its template; each is selected as a text of its own.
_SCHEDULE = """
tenant_id, name, cron, timezone, (submission -> 'asked')::text as asked, (submission -> 'job')::text as job, overlap,
catch_up, paused, next_run_at, last_run_at, last_job_id, last_error::text, created_at, updated_at, declared
"""


async def clock(connection: Connection) -> datetime:
    """Returns the database's time, which is constant within a transaction."""
    now: datetime = await connection.fetchval("select now()")
    return now


# Serializes additions, which would otherwise exceed the limit together.
LOCK_TENANT = "select coalesce(max_schedules, $2) from tenants where tenant_id = $1 for update"
COUNT_SCHEDULES = "select count(*) from schedules where tenant_id = $1"


async def has_room(connection: Connection, tenant_id: int, *, most: int) -> bool:
    """Returns whether a tenant may add a schedule, in a transaction of the caller's. `most` applies if its row names no
    number.
    """
    limit = await connection.fetchval(LOCK_TENANT, tenant_id, most)
    return bool(await connection.fetchval(COUNT_SCHEDULES, tenant_id) < (most if limit is None else limit))


INSERT_SCHEDULE = f"""
insert into schedules (tenant_id, name, cron, timezone, submission, overlap, catch_up, paused, next_run_at,
                       declared)
values ($1, $2, $3, $4, json_build_object('asked', $5::json, 'job', $6::json), $7, $8, $9, $10, $11)
on conflict do nothing
returning {_SCHEDULE}
"""


async def add_schedule(
    connection: Connection, key: Key, recurrence: Recurrence, next_run_at: datetime | None, *, declared: bool = False
) -> Schedule | None:
    """Inserts a schedule; returns None if its name is taken. `declared`: the code of a worker declares it."""
    row = await connection.fetchrow(INSERT_SCHEDULE, *key, *_members(recurrence), next_run_at, declared)
    return _schedule(row) if row is not None else None


UPDATE_SCHEDULE = f"""
update schedules set cron = $3, timezone = $4, submission = json_build_object('asked', $5::json, 'job', $6::json),
    overlap = $7, catch_up = $8, paused = $9, next_run_at = $10, last_error = null, updated_at = now(),
    declared = declared or $11
where tenant_id = $1 and name = $2
returning {_SCHEDULE}
"""


async def change_schedule(
    connection: Connection, key: Key, recurrence: Recurrence, next_run_at: datetime | None, *, declared: bool = False
) -> Schedule:
    """Updates a schedule that the caller's transaction holds. `declared` as in `add_schedule`; it stays true."""
    arguments = (*key, *_members(recurrence), next_run_at, declared)
    return _schedule(only(await connection.fetchrow(UPDATE_SCHEDULE, *arguments)))


def _members(recurrence: Recurrence) -> tuple[object, ...]:
    return (
        recurrence.cron,
        recurrence.timezone,
        recurrence.submission,
        recurrence.job,
        int(recurrence.overlap),
        int(recurrence.catch_up),
        recurrence.paused,
    )


READ_SCHEDULE = f"select {_SCHEDULE} from schedules where tenant_id = $1 and name = $2"
HOLD_SCHEDULE = READ_SCHEDULE + " for update"


async def read_schedule(connection: Connection, key: Key) -> Schedule | None:
    """Returns a schedule; None if the tenant has none of this name."""
    row = await connection.fetchrow(READ_SCHEDULE, *key)
    return _schedule(row) if row is not None else None


async def hold_schedule(connection: Connection, key: Key) -> Schedule | None:
    """Returns a schedule, locked until the caller's transaction ends."""
    row = await connection.fetchrow(HOLD_SCHEDULE, *key)
    return _schedule(row) if row is not None else None


LIST_SCHEDULES = f"select {_SCHEDULE} from schedules where tenant_id = $1 and name > $2 order by name limit $3"


async def list_schedules(connection: Connection, tenant_id: int, *, after: str, limit: int) -> list[Schedule]:
    """Returns a page of this tenant's schedules, by name."""
    return [_schedule(row) for row in await connection.fetch(LIST_SCHEDULES, tenant_id, after, limit)]


async def delete_schedule(connection: Connection, key: Key) -> bool:
    """Deletes a schedule. Returns whether it existed. The records of its runs are kept until they are old."""
    answer = await connection.execute("delete from schedules where tenant_id = $1 and name = $2", *key)
    return bool(answer != "DELETE 0")


# `$1` and `$2` exclude schedules.
_DUE = """
from schedules
where not paused and next_run_at is not null
  and (tenant_id, name) not in (select * from unnest($1::int[], $2::text[]))
"""
READ_NEXT_DUE = f"""
select extract(epoch from next_run_at - now())::float8 {_DUE} order by next_run_at limit 1
"""


async def seconds_to_next_run(connection: Connection, *, exclude: Collection[Key]) -> float | None:
    """Returns the seconds until the next schedule is due, by the database's clock; None if there is none."""
    seconds: float | None = await connection.fetchval(READ_NEXT_DUE, *_columns(exclude, 2))
    return seconds


TAKE_DUE = f"""
select {_SCHEDULE} {_DUE} and next_run_at <= now() order by next_run_at limit $3 for update skip locked
"""


async def take_due(connection: Connection, *, exclude: Collection[Key], limit: int) -> list[Schedule]:
    """Returns due schedules that no other node holds, locked until the caller's transaction ends."""
    return [_schedule(row) for row in await connection.fetch(TAKE_DUE, *_columns(exclude, 2), limit)]


# A job that retention has dropped had ended.
FIND_UNFINISHED = f"""
select a.job_id from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (select 1 from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0) j
left join lateral (
    select kind from events where job_id = a.job_id and tenant_id = a.tenant_id order by sequence desc limit 1
) e on true
where coalesce(e.kind, 0) < {FIRST_TERMINAL:d}
"""


async def unfinished(connection: Connection, jobs: Sequence[tuple[int, UUID]]) -> set[UUID]:
    """Returns those of these jobs (tenant, job) that have not ended."""
    return {row[0] for row in await connection.fetch(FIND_UNFINISHED, *_columns(jobs, 2))} if jobs else set()


RECORD_RUNS = """
insert into schedule_runs (tenant_id, name, due_at, job_id)
select * from unnest($1::int[], $2::text[], $3::timestamptz[], $4::uuid[])
on conflict do nothing
returning tenant_id, name, due_at
"""


async def record_runs(connection: Connection, runs: Sequence[Run]) -> list[Run]:
    """Records runs. Returns those that are new: a due time is run once."""
    rows = [(run.tenant_id, run.name, run.due_at, run.job.job_id if run.job else None) for run in runs]
    new = {tuple(row) for row in await connection.fetch(RECORD_RUNS, *_columns(rows, 4))} if rows else set()
    return [run for run in runs if run[:3] in new]


CORRECT_RUNS = """
update schedule_runs r set job_id = a.job_id
from unnest($1::int[], $2::text[], $3::timestamptz[], $4::uuid[]) as a (tenant_id, name, due_at, job_id)
where r.tenant_id = a.tenant_id and r.name = a.name and r.due_at = a.due_at
"""


async def correct_runs(connection: Connection, runs: Sequence[tuple[Run, UUID | None]]) -> None:
    """Corrects the job of due times for which another job, or none, was recorded."""
    rows = [(run.tenant_id, run.name, run.due_at, job_id) for run, job_id in runs]
    if rows:
        await connection.execute(CORRECT_RUNS, *_columns(rows, 4))


class ScheduleStep(NamedTuple):
    """State of a schedule after its due times were run; without a job, the last ones are kept. `last_error` (JSON
    text): reason why the last job was refused.
    """

    tenant_id: int
    name: str
    next_run_at: datetime | None
    last_run_at: datetime | None = None
    last_job_id: UUID | None = None
    last_error: str | None = None


ADVANCE_SCHEDULES = """
update schedules s set next_run_at = a.next_run_at, last_run_at = coalesce(a.last_run_at, s.last_run_at),
    last_job_id = coalesce(a.last_job_id, s.last_job_id),
    last_error = coalesce(a.last_error::json, case when a.last_job_id is null then s.last_error end)
from unnest($1::int[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::text[])
    as a (tenant_id, name, next_run_at, last_run_at, last_job_id, last_error)
where s.tenant_id = a.tenant_id and s.name = a.name
"""


async def advance(connection: Connection, steps: Sequence[ScheduleStep]) -> None:
    """Updates schedules that the caller's transaction holds."""
    if steps:
        await connection.execute(ADVANCE_SCHEDULES, *_columns(steps, 6))


RECORD_ERROR = "update schedules set last_error = $3::json where tenant_id = $1 and name = $2"


async def record_schedule_error(connection: Connection, key: Key, error: str) -> None:
    """Records the error (JSON text) of a schedule that could not be fired."""
    await connection.execute(RECORD_ERROR, *key, error)


# Descends the index from name to name, so the cost depends on names and deleted rows, not on rows kept.
DELETE_OLD_RUNS = """
with recursive named as (
    (select tenant_id, name from schedule_runs order by tenant_id, name limit 1)
    union all
    select following.* from named cross join lateral (
        select tenant_id, name from schedule_runs
        where (tenant_id, name) > (named.tenant_id, named.name) order by tenant_id, name limit 1
    ) following
),
old as (
    select r.* from named cross join lateral (
        select tenant_id, name, due_at from schedule_runs
        where tenant_id = named.tenant_id and name = named.name and due_at < now() - interval '30 days'
        order by due_at limit $1
    ) r
    limit $1
)
delete from schedule_runs r using old
where r.tenant_id = old.tenant_id and r.name = old.name and r.due_at = old.due_at
"""


async def delete_old_runs(connection: Connection, *, limit: int) -> int:
    """Deletes up to `limit` records of runs older than 30 days. Returns the number deleted."""
    return int((await connection.execute(DELETE_OLD_RUNS, limit)).rpartition(" ")[2])


def _columns(rows: Collection[Sequence[object]], width: int) -> list[Sequence[object]]:
    """Returns an array for each column, also without rows."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _schedule(row: Record) -> Schedule:
    recurrence = Recurrence(
        cron=row["cron"],
        timezone=row["timezone"],
        submission=row["asked"],
        job=row["job"],
        overlap=Overlap(row["overlap"]),
        catch_up=CatchUp(row["catch_up"]),
        paused=row["paused"],
    )
    return Schedule(
        tenant_id=row["tenant_id"],
        name=row["name"],
        recurrence=recurrence,
        next_run_at=row["next_run_at"],
        last_run_at=row["last_run_at"],
        last_job_id=row["last_job_id"],
        last_error=row["last_error"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        declared=row["declared"],
    )
