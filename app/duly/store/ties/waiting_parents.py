"""Jobs that wait for child jobs, parked in `scheduled`: their parking, and their return to `ready`.

Each child that they wait for is a row of `dependencies`, as for jobs with `dependsOn`. The follow-ups of an end lock
the rows of the waiting jobs and then look, in a separate statement, for what is left: of two children that end at the
same time, exactly one resumes the job.
"""

import json
from collections.abc import Sequence
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished, Lane, WaitReason
from duly.store.postgres.database import Connection
from duly.store.queue.ready import UNLEASED_MARKS, LaneStart
from duly.store.ties.placement import FIND_CHILDREN
from duly.store.ties.unique_keys_and_dependencies import record_dependencies, watch_parents

# Parking is not charged. An attempt with a cancel request is left for the statement that ends it.
PARK_FOR_CHILDREN_IF_HELD = f"""
with ended as (
    select * from unnest($1::uuid[], $2::int[], $3::text[]) as t (job_id, token, jobs)
),
gone as (
    delete from running n using ended t
    where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token and n.cancel_requested_at is null
    returning n.tenant_id, n.job_id, n.token, n.sequence + 1 as sequence, n.timeout_seconds, n.priority,
              n.attempt - 1 as attempt, n.crashes, n.callback_events, n.marks, n.batch_id, n.queue, n.type,
              t.jobs::json as jobs
),
later as (
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, marks, batch_id, reason, queue, type)
    select tenant_id, job_id, 'infinity', token, sequence, timeout_seconds, priority, attempt, crashes,
           callback_events, {UNLEASED_MARKS}, batch_id, {WaitReason.CHILDREN:d}, queue, type
    from gone
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.PARKED:d}, attempt, $4,
           json_build_object('until', null, 'signals', json '[]', 'children', json_array_length(jobs), 'jobs', jobs)
    from gone
)
select job_id, sequence, tenant_id, queue, type, priority from gone
"""


async def park_for_children_if_held(connection: Connection, ends: Sequence[Finish], *, source: str) -> list[Finished]:
    """Parks attempts until their child jobs have ended, in the caller's transaction. Those that lost their lease, or
    have a cancel request, are not in the result, and nothing is changed for them. A job whose children have all ended
    is ready again.

    Raises:
        LockContention: see `watch_parents`.
    """
    texts = [json.dumps([str(child) for child in end.children]) for end in ends]
    job_ids, tokens = [end.job_id for end in ends], [end.token for end in ends]
    rows = await connection.fetch(PARK_FOR_CHILDREN_IF_HELD, job_ids, tokens, texts, source)
    children = {end.job_id: end.children for end in ends}
    waits = [(row[2], child, row[0]) for row in rows for child in children[row[0]]]
    # A child whose row was marked ends after this transaction, and its follow-ups find the dependency.
    ended = await watch_parents(connection, [(tenant_id, child) for tenant_id, child, _ in waits])
    waits = [wait for wait in waits if wait[1] not in ended]
    await record_dependencies(connection, waits)
    free = {row[0] for row in rows} - {parent for _, _, parent in waits}
    resumed = {start.floor for start in await _resume(connection, sorted(free), (), source=source)}
    return [_finished(row[0], row[1], Lane(*row[2:]), resumed=row[0] in resumed) for row in rows]


def _finished(job_id: UUID, sequence: int, lane: Lane, *, resumed: bool) -> Finished:
    if resumed:
        return Finished(job_id, EventKind.RESUMED, sequence + 1, lane, 0.0, delivers=False)
    return Finished(job_id, EventKind.PARKED, sequence, lane, None, delivers=False)


LOCK_WAITING_PARENTS = f"""
select s.job_id from unnest($1::uuid[]) as a (job_id)
cross join lateral (
    select job_id from scheduled where job_id = a.job_id and reason = {WaitReason.CHILDREN:d} for update offset 0
) s
"""
# Their concurrency key is still theirs.
RESUME_WAITING_PARENTS = f"""
with free as materialized (
    select a.job_id from unnest($1::uuid[]) as a (job_id)
    left join lateral (
        select child_id from dependencies where child_id = a.job_id and parent_id <> all($2::uuid[]) limit 1
    ) d on true
    where d.child_id is null
),
gone as (
    delete from scheduled s using free f
    where s.job_id >= f.job_id and s.job_id <= f.job_id and s.reason = {WaitReason.CHILDREN:d}
    returning s.tenant_id, s.job_id, s.token, s.sequence + 1 as sequence, s.timeout_seconds, s.priority, s.attempt,
              s.crashes, s.callback_events, s.marks, s.batch_id, s.queue, s.type
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.RESUMED:d}, attempt, $3, json_build_object('reason', 'children')
    from gone
),
now_ready as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, marks,
           batch_id, queue, type
    from gone
)
select tenant_id, queue, type, priority, job_id from gone
"""


async def resume_waiting_parents(connection: Connection, ended: Sequence[UUID], *, source: str) -> list[LaneStart]:
    """Makes the jobs ready that wait for these ended child jobs, and for no others, in the caller's transaction, which
    must delete these dependencies afterwards. Returns the lane and the id of each.
    """
    waiting = {row[0] for row in await connection.fetch(FIND_CHILDREN, ended)}
    if not waiting:
        return []
    locked = [row[0] for row in await connection.fetch(LOCK_WAITING_PARENTS, sorted(waiting))]
    return await _resume(connection, locked, ended, source=source)


async def _resume(
    connection: Connection, parents: Sequence[UUID], ended: Sequence[UUID], *, source: str
) -> list[LaneStart]:
    if not parents:
        return []
    rows = await connection.fetch(RESUME_WAITING_PARENTS, parents, ended, source)
    return [LaneStart(Lane(*row[:4]), row[4]) for row in rows]
