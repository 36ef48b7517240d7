"""Placement: hot rows of jobs with ties to others, and the transfer of concurrency keys.

The row of a key in `concurrency` is the lock of everything about it: a submission inserts or locks it, a transfer locks
it and then searches, in a separate statement, so that neither misses the other. Keys are locked before rows of jobs,
and both in order.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import Lane, Mark, WaitReason
from duly.store.ledger.pending_follow_ups import find_still_ended
from duly.store.postgres.database import Connection
from duly.store.queue.ready import LaneStart


class Placement(IntEnum):
    """Place of a hot row. 2 and 3 are reasons in `blocked`; from 4 on, in `scheduled`."""

    READY = 0
    SCHEDULED = 1
    DEPENDENCIES = 2
    CONCURRENCY = 3
    TIMER = 4
    SIGNAL = 5
    HELD = 6
    CHILDREN = 7


class HotRow(NamedTuple):
    """Row of a hot table, and its place."""

    place: int
    tenant_id: int
    job_id: UUID
    token: int
    sequence: int
    timeout_seconds: float
    priority: int
    attempt: int
    crashes: int
    callback_events: int
    marks: int
    queue: str
    type: str
    batch_id: UUID | None
    expires_at: object
    run_at: object
    concurrency_key: str | None
    waits_for: int

    @property
    def lane(self) -> Lane:
        """Returns the lane of the job."""
        return Lane(self.tenant_id, self.queue, self.type, self.priority)


# A scheduled job without `run_at` is due now; a parked or held one is due never.
INSERT_HOT_ROWS = """
with p as materialized (
    select * from unnest(
        $1::smallint[], $2::int[], $3::uuid[], $4::int[], $5::int[], $6::real[], $7::smallint[], $8::smallint[],
        $9::smallint[], $10::smallint[], $11::smallint[], $12::text[], $13::text[], $14::uuid[], $15::timestamptz[],
        $16::timestamptz[], $17::text[], $18::int[]
    ) as a (place, tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events,
            marks, queue, type, batch_id, expires_at, run_at, concurrency_key, waits_for)
),
now_ready as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, queue, type, batch_id, expires_at)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, marks,
           queue, type, batch_id, expires_at
    from p where place = 0
),
later as (
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, marks, reason, queue, type, batch_id, expires_at)
    select tenant_id, job_id, coalesce(run_at, case when place = 1 then now() else 'infinity' end), token, sequence,
           timeout_seconds, priority, attempt, crashes, callback_events, marks,
           case when place = 1 then 0 else place end, queue, type, batch_id, expires_at
    from p where place = 1 or place >= 4
)
insert into blocked (tenant_id, job_id, run_at, expires_at, batch_id, waits_for, token, sequence, timeout_seconds,
                     priority, attempt, crashes, callback_events, marks, reason, queue, type, concurrency_key)
select tenant_id, job_id, run_at, expires_at, batch_id, waits_for, token, sequence, timeout_seconds, priority,
       attempt, crashes, callback_events, marks, place, queue, type, concurrency_key
from p where place in (2, 3)
"""


async def place(connection: Connection, rows: Sequence[HotRow]) -> None:
    """Inserts each row in its place. None of the jobs may have a hot row."""
    if rows:
        await connection.execute(INSERT_HOT_ROWS, *zip(*rows, strict=True))


# A key of another job is locked until this transaction ends, but not changed: a transfer of it waits, and then finds
# the row that is blocked for it.
ACQUIRE_KEYS = """
insert into concurrency as c (tenant_id, key, job_id)
select distinct on (a.tenant_id, a.key) a.tenant_id, a.key, a.job_id
from unnest($1::int[], $2::text[], $3::uuid[]) as a (tenant_id, key, job_id)
order by a.tenant_id, a.key, a.job_id
on conflict (tenant_id, key) do update set job_id = c.job_id where c.job_id = excluded.job_id
returning job_id
"""


async def acquire_keys(connection: Connection, wanted: Sequence[tuple[int, str, UUID]]) -> set[UUID]:
    """Acquires concurrency keys for these (tenant, key, job). Returns the jobs that hold theirs; among several for one
    key, the oldest.
    """
    if not wanted:
        return set()
    rows = await connection.fetch(ACQUIRE_KEYS, *zip(*wanted, strict=True))
    return {row[0] for row in rows}


async def place_when_possible(connection: Connection, rows: Sequence[HotRow]) -> list[LaneStart]:
    """Places jobs that wait at most for their concurrency key. Returns the lanes that got work."""
    keyed = [(row.tenant_id, row.concurrency_key, row.job_id) for row in rows if row.concurrency_key is not None]
    held = await acquire_keys(connection, [(tenant, key or "", job) for tenant, key, job in keyed])
    placed = [
        row._replace(
            place=Placement.READY if row.concurrency_key is None or row.job_id in held else Placement.CONCURRENCY,
            waits_for=0,
        )
        for row in rows
    ]
    await place(connection, placed)
    return [LaneStart(row.lane, row.job_id) for row in placed if row.place == Placement.READY]


_STANDING = """
    0, w.tenant_id, w.job_id, w.token, w.sequence, w.timeout_seconds, w.priority, w.attempt, w.crashes,
    w.callback_events, w.marks, w.queue, w.type, w.batch_id, w.expires_at
"""

# Due jobs that need a key, which is in the row of `jobs`; few jobs have one.
TAKE_DUE_KEYED = f"""
with due as materialized (
    select job_id from scheduled
    where run_at <= now() and marks & {Mark.KEYED:d} <> 0 and reason = 0 and job_id <> all($2)
    order by run_at limit $1 for update skip locked
),
gone as (
    delete from scheduled s using due d where s.job_id >= d.job_id and s.job_id <= d.job_id returning s.*
)
select {_STANDING}, null::timestamptz, j.concurrency_key, 0
from gone w cross join lateral (
    select concurrency_key from jobs where tenant_id = w.tenant_id and job_id = w.job_id offset 0
) j
"""


async def release_keyed(connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()) -> list[LaneStart]:
    """Makes due jobs with a concurrency key ready, or lets them wait for it, in the caller's transaction."""
    rows = await connection.fetch(TAKE_DUE_KEYED, limit, exclude)
    return await place_when_possible(connection, [HotRow(*row) for row in rows])


# Found first and then locked in order: a statement that sorts would scan the whole table.
FIND_KEYS = """
select c.tenant_id, c.key, c.job_id from unnest($1::uuid[]) as a (job_id)
cross join lateral (select tenant_id, key, job_id from concurrency where job_id = a.job_id offset 0) c
"""
LOCK_KEYS = """
select c.tenant_id, c.key, c.job_id from unnest($1::int[], $2::text[], $3::uuid[]) as a (tenant_id, key, job_id)
cross join lateral (
    select tenant_id, key, job_id from concurrency
    where tenant_id = a.tenant_id and key = a.key and job_id = a.job_id for update offset 0
) c
"""
# The next job of a key is read in the order of the whole index: with `concurrency_key = ... order by job_id` the
# planner may scan all blocked jobs by id, which looks cheap while there are none, and generic plans are kept.
TRANSFER_KEYS = f"""
with freed as materialized (
    select tenant_id, key from unnest($1::int[], $2::text[]) as f (tenant_id, key)
),
next as materialized (
    select f.tenant_id, f.key, n.job_id from freed f cross join lateral (
        select job_id from blocked
        where tenant_id = f.tenant_id and concurrency_key >= f.key and concurrency_key <= f.key and reason = 3
        order by concurrency_key, job_id limit 1 for update
    ) n
),
held as (
    update concurrency c set job_id = n.job_id from next n
    where c.tenant_id = any(array[n.tenant_id]) and c.key >= n.key and c.key <= n.key
),
free as (
    delete from concurrency c using freed f
    where c.tenant_id = any(array[f.tenant_id]) and c.key >= f.key and c.key <= f.key
      and not exists (select from next n where n.tenant_id = f.tenant_id and n.key = f.key)
),
gone as (
    delete from blocked b using next n where b.job_id >= n.job_id and b.job_id <= n.job_id returning b.*
)
select {_STANDING}, null::timestamptz, w.concurrency_key, 0 from gone w
"""


async def transfer_keys(connection: Connection, ended: Sequence[UUID]) -> list[LaneStart]:
    """Transfers the keys of these jobs to the jobs that wait for them longest, in the caller's
    transaction.

    Returns the lanes that got work.
    """
    found = sorted(tuple(row) for row in await connection.fetch(FIND_KEYS, ended))
    if not found:
        return []
    locked = await connection.fetch(LOCK_KEYS, *(list(column) for column in zip(*found, strict=True)))
    # From here on they cannot be retried without this key.
    free = set(await find_still_ended(connection, [row[2] for row in locked]))
    keys = [(row[0], row[1]) for row in locked if row[2] in free]
    if not keys:
        return []
    rows = await connection.fetch(TRANSFER_KEYS, *(list(column) for column in zip(*keys, strict=True)))
    hot_rows = [HotRow(*row) for row in rows]
    await place(connection, hot_rows)
    return [LaneStart(row.lane, row.job_id) for row in hot_rows]


# Each dependency is deleted once, and the blocked row counts down; its lock serializes concurrent ends.
FIND_CHILDREN = """
select d.child_id from unnest($1::uuid[]) as a (job_id)
cross join lateral (select child_id from dependencies where parent_id = a.job_id offset 0) d
"""
LOCK_CHILDREN = """
select b.job_id from unnest($1::uuid[]) as a (job_id)
cross join lateral (select job_id from blocked where job_id = a.job_id and reason = 2 for update offset 0) b
"""
COUNT_DOWN = f"""
with met as (
    delete from dependencies where parent_id = any($1::uuid[]) returning child_id
),
counted as (
    select child_id, count(*)::int as n from met group by child_id
),
down as (
    update blocked b set waits_for = b.waits_for - c.n from counted c
    where b.job_id >= c.child_id and b.job_id <= c.child_id and b.reason = 2
    returning b.*
)
select {_STANDING}, w.run_at, w.concurrency_key, w.waits_for from down w where w.waits_for <= 0
"""
DELETE_BLOCKED = "delete from blocked where job_id = any($1::uuid[])"


async def count_down(connection: Connection, ended: Sequence[UUID]) -> list[LaneStart]:
    """Counts these ended jobs down from their dependents, and places those without further dependencies, in the
    caller's transaction.

    Returns the lanes that got work.
    """
    children = {row[0] for row in await connection.fetch(FIND_CHILDREN, ended)}
    if not children:
        return []
    await connection.fetch(LOCK_CHILDREN, sorted(children))
    free = [HotRow(*row) for row in await connection.fetch(COUNT_DOWN, ended)]
    if not free:
        return []
    await connection.execute(DELETE_BLOCKED, [row.job_id for row in free])
    later = [row._replace(place=Placement.SCHEDULED) for row in free if row.run_at is not None]
    await place(connection, later)
    return await place_when_possible(connection, [row for row in free if row.run_at is None])


# Dependents of failed jobs, except those that run in any case. A handler that waits for its child jobs gets the error.
FIND_DOOMED = f"""
select d.tenant_id, d.child_id, min(d.parent_id::text)::uuid
from dependencies d cross join lateral (
    select despite_failure from jobs where tenant_id = d.tenant_id and job_id = d.child_id offset 0
) j
where d.parent_id = any($1::uuid[]) and j.despite_failure is not true
  and not exists (
      select from scheduled s
      where s.job_id = d.child_id and s.tenant_id = d.tenant_id and s.reason = {WaitReason.CHILDREN:d}
  )
group by d.tenant_id, d.child_id
"""


async def find_doomed(connection: Connection, failed: Sequence[UUID]) -> list[tuple[int, UUID, UUID]]:
    """Returns the jobs that cannot run since these failed or were cancelled, as (tenant, job, its dependency)."""
    return [tuple(row) for row in await connection.fetch(FIND_DOOMED, failed)]


def marked(*, keyed: bool, unique: bool, holds: bool) -> int:
    """Returns the marks of a new job."""
    return int((Mark.KEYED if keyed else 0) | (Mark.UNIQUE if unique else 0) | (Mark.HOLDS if holds else 0))
