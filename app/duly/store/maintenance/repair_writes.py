"""Writes of the repair: restores from the ledger what other tables have lost, in the caller's transaction."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.invariant_facts import BatchFacts
from duly.domain.job import Mark
from duly.store.ledger.outbox import callback_receiver
from duly.store.postgres.advisory_locks import REPAIR, take
from duly.store.postgres.database import Connection
from duly.store.queue.flow_control import raise_version
from duly.store.schema.timed_id import timed_id_beside
from duly.store.ties.placement import HotRow, place


@asynccontextmanager
async def alone(connection: Connection) -> AsyncIterator[bool]:
    """Yields whether this is the only repair of the database; if so, it holds the lock until the end of the block."""
    async with connection.transaction():
        yield await take(connection, REPAIR)


_HOT = ("ready", "scheduled", "blocked", "running")
DELETE_HOT_ROWS = [f"delete from {table} where job_id = any($1::uuid[])" for table in _HOT]
DELETE_DEPENDENCIES = "delete from dependencies where child_id = any($1::uuid[])"
RELEASE_KEYS = "delete from concurrency where job_id = any($1::uuid[])"
DELETE_UNIQUE_KEYS = "delete from unique_keys where job_id = any($1::uuid[])"
DELETE_LEASES = "delete from leases where job_id = any($1::uuid[])"
DELETE_CHECKPOINTS = "delete from checkpoints where job_id = any($1::uuid[])"


async def clear(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Deletes the hot rows, the leases and the dependencies of these jobs."""
    for statement in (*DELETE_HOT_ROWS, DELETE_LEASES, DELETE_DEPENDENCIES):
        await connection.execute(statement, jobs)


async def delete_dependencies(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Deletes the dependencies of these jobs."""
    await connection.execute(DELETE_DEPENDENCIES, jobs)


async def release_keys(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Releases the concurrency keys of these jobs; `grant_keys` grants them to others."""
    await connection.execute(RELEASE_KEYS, jobs)


async def drop_unique_keys(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Deletes the unique keys of these jobs."""
    await connection.execute(DELETE_UNIQUE_KEYS, jobs)


async def drop_leases(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Deletes the leases of these jobs."""
    await connection.execute(DELETE_LEASES, jobs)


async def drop_checkpoints(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Deletes the checkpoints of these jobs."""
    await connection.execute(DELETE_CHECKPOINTS, jobs)


Numbered = tuple[UUID, int, int]  # job, sequence, kind
DELETE_NUMBERED = {
    table: f"""
delete from {table} w using unnest($1::uuid[], $2::int[], $3::smallint[]) as a (job_id, sequence, kind)
where w.job_id = a.job_id and w.sequence = a.sequence and w.kind = a.kind
"""
    for table in ("endings", "deliveries")
}


async def drop_endings(connection: Connection, numbered: Sequence[Numbered]) -> None:
    """Deletes these pending follow-ups."""
    await connection.execute(DELETE_NUMBERED["endings"], *_columns(numbered))


async def drop_deliveries(connection: Connection, numbered: Sequence[Numbered]) -> None:
    """Deletes these deliveries."""
    await connection.execute(DELETE_NUMBERED["deliveries"], *_columns(numbered))


# If the last event of a job is another one, the key of `events` prevents the write.
REQUEUE_LOST = f"""
insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
select tenant_id, job_id, sequence, {EventKind.REQUEUED:d}, attempt, $5, json_build_object('reason', 'repaired')
from unnest($1::int[], $2::uuid[], $3::int[], $4::smallint[]) as a (tenant_id, job_id, sequence, attempt)
"""


async def requeue_lost(connection: Connection, rows: Sequence[HotRow], *, source: str) -> None:
    """Records that these attempts were abandoned, and that their jobs have these rows."""
    if rows:
        columns = _columns([(row.tenant_id, row.job_id, row.sequence, row.attempt) for row in rows])
        await connection.execute(REQUEUE_LOST, *columns, source)


READ_LAST_EVENTS = """
select a.job_id, coalesce(e.kind, 0) from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (select job_id from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0) j
left join lateral (select kind from events where job_id = a.job_id order by sequence desc limit 1) e on true
"""


async def read_last_events(connection: Connection, keys: Iterable[tuple[int, UUID]]) -> dict[UUID, EventKind]:
    """Returns the kind of the last event of each of these (tenant, job) that is recorded."""
    chosen = sorted(set(keys))
    rows = await connection.fetch(READ_LAST_EVENTS, *_columns(chosen)) if chosen else []
    return {row[0]: EventKind(row[1]) for row in rows}


SET_MARKS = [
    f"""
update {table} w set marks = a.marks from unnest($1::uuid[], $2::smallint[]) as a (job_id, marks)
where w.job_id = a.job_id
"""
    for table in _HOT
]
MARK_PARENTS = [
    f"update {table} set marks = marks | {int(Mark.DEPENDED)} "
    f"where job_id = any($1::uuid[]) and marks & {int(Mark.DEPENDED)} = 0"
    for table in _HOT
]


async def mark(connection: Connection, marks: dict[UUID, int]) -> None:
    """Sets the marks of these jobs in their hot rows."""
    for statement in SET_MARKS:
        await connection.execute(statement, list(marks), list(marks.values()))


async def mark_parents(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Marks these jobs as dependencies in their hot rows."""
    for statement in MARK_PARENTS:
        await connection.execute(statement, jobs)


# To the job that waits longest, as when a key is transferred.
GRANT_KEYS = """
with free as materialized (
    select distinct on (b.tenant_id, b.concurrency_key) b.tenant_id, b.concurrency_key as key, b.job_id
    from blocked b
    where b.reason = 3
      and not exists (select from concurrency c where c.tenant_id = b.tenant_id and c.key = b.concurrency_key)
    order by b.tenant_id, b.concurrency_key, b.job_id
),
held as (
    insert into concurrency (tenant_id, key, job_id) select * from free
),
gone as (
    delete from blocked b using free f where b.job_id = f.job_id returning b.*
)
select 0, tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, marks,
       queue, type, batch_id, expires_at, null::timestamptz, concurrency_key, 0
from gone
"""


async def grant_keys(connection: Connection) -> int:
    """Grants each free concurrency key to one of the jobs that wait for it. Returns the number of keys."""
    standing = [HotRow(*row) for row in await connection.fetch(GRANT_KEYS)]
    await place(connection, standing)
    return len(standing)


RESTORE_UNIQUE_KEYS = """
insert into unique_keys (tenant_id, type, key, job_id)
select * from unnest($1::int[], $2::text[], $3::text[], $4::uuid[]) as a (tenant_id, type, key, job_id)
order by tenant_id, type, key
on conflict do nothing
"""


async def restore_unique_keys(connection: Connection, wanted: Sequence[tuple[int, str, str, UUID]]) -> None:
    """Acquires these keys (tenant, type, key) for their jobs, except those that other jobs hold."""
    await connection.execute(RESTORE_UNIQUE_KEYS, *_columns(wanted))


REQUEUE_FOLLOW_UPS = f"""
insert into endings as e (tenant_id, job_id, sequence, kind, marks)
select *, {int(Mark.DEPENDED)} from unnest($1::int[], $2::uuid[], $3::int[], $4::smallint[]) as a
on conflict (job_id, sequence) do update set marks = e.marks | excluded.marks
"""


async def follow(connection: Connection, ends: Sequence[tuple[int, UUID, int, int]]) -> None:
    """Records that the follow-ups of these ends (tenant, job, sequence, kind) are pending again."""
    await connection.execute(REQUEUE_FOLLOW_UPS, *_columns(ends))


# To the callback. A delivery that was tried before keeps its id and its number of attempts.
WRITE_WEBHOOKS = f"""
insert into deliveries (tenant_id, delivery_id, job_id, sequence, kind, attempt, receiver_id)
select a.tenant_id, coalesce(t.delivery_id, {timed_id_beside("a.job_id")}), a.job_id, a.sequence, a.kind,
       coalesce(t.attempt, 0), {callback_receiver(tenant="a.tenant_id", url="j.callback_url")}
from unnest($1::int[], $2::uuid[], $3::int[], $4::smallint[]) as a (tenant_id, job_id, sequence, kind)
cross join lateral (
    select callback_url from jobs
    where tenant_id = a.tenant_id and job_id = a.job_id and callback_url is not null offset 0
) j
left join lateral (
    select delivery_id, attempt from delivery_attempts
    where job_id = a.job_id and sequence = a.sequence and not registered order by attempt desc limit 1
) t on true
"""


async def write_webhooks(connection: Connection, events: Sequence[tuple[int, UUID, int, int]]) -> None:
    """Writes the deliveries of these events (tenant, job, sequence, kind) to the callback."""
    await connection.execute(WRITE_WEBHOOKS, *_columns(events))


RECORD_BATCH = """
insert into batches as b (tenant_id, batch_id, first_id, last_id, total) values ($1, $2, $3, $4, $5)
on conflict (tenant_id, batch_id) do update set first_id = $3, last_id = $4, total = $5
"""
# Processed like the tallies of ended jobs.
CORRECT_COUNT = """
insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values ($1, $2, $3, $4, $5)
"""


class Correction(NamedTuple):
    """Corrections of a batch's counts of completed, failed and cancelled jobs."""

    completed: int
    failed: int
    cancelled: int


async def correct_batch(connection: Connection, batch: BatchFacts, correction: Correction) -> None:
    """Corrects the row of this batch: its jobs and the counts of their ends."""
    if batch.oldest is not None:
        first, last = min(batch.oldest, batch.first_id), max(batch.newest or batch.oldest, batch.last_id)
        await connection.execute(RECORD_BATCH, batch.tenant_id, batch.batch_id, first, last, batch.jobs)
    await connection.execute(CORRECT_COUNT, batch.tenant_id, batch.batch_id, *correction)


# A lost version restarts above any that nodes may know.
RESTORE_CONTROL = """
insert into control (id, version) values (1, extract(epoch from clock_timestamp())::bigint) on conflict do nothing
"""


async def restore_control(connection: Connection) -> None:
    """Makes every node read the ready jobs and the claim restrictions again before it claims."""
    await connection.execute(RESTORE_CONTROL)
    await raise_version(connection)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
