"""Table `ready`: jobs that may start now, in lanes, and their claims."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import ClaimedJob, Lane, Mark
from duly.store.ledger.outbox import DELIVERS, outbox
from duly.store.postgres.database import Connection


class LaneStart(NamedTuple):
    """Start of a claim in a lane: entries below `floor` are known to be gone."""

    lane: Lane
    floor: UUID


_STARTED_EVENTS = f"(select *, {EventKind.STARTED:d}::smallint as kind from started)"

# Lanes are read in the given order, each as far as the previous ones left room: the lateral sub-select locks row by row
# and the outer limit stops it, so no more rows are locked than claimed. The rows are then deleted by their whole key,
# and the parameters are read from `jobs` by key, row by row. The key is compared so that only one plan is possible: a
# join by `=` would allow a scan of the whole index in order. A comparison of rows, (a, b) <= (c, d), does not help:
# PostgreSQL 18 stops at the end of such a range, 15 scans to the end of the index.
# No claimed id is below `$7`, so the planner skips older partitions. A node with an older version (`$9`) of the claim
# restrictions claims nothing. Data behind a mark is read only for rows with the mark.
# Lanes under limits are claimed by another statement: `duly.store.queue.claim_limited`. An attempt of a job with
# a key begins when its row is deleted: `now()` may be before the end of the job that held the key.
CLAIM_STEPS = f"""
taken as materialized (
    select r.* from unnest($1::text[], $2::text[], $3::smallint[], $4::uuid[]) as l (queue, type, priority, floor)
    cross join lateral (
        select queue, type, priority, job_id from ready
        where queue = l.queue and type = l.type and priority = l.priority and job_id >= l.floor
          and (expires_at is null or expires_at > now()){{exclude}}
        order by job_id limit {{room}} for update skip locked
    ) r
    where (select version from control where id = 1) = $9
    limit {{room}}
),
gone as (
    delete from ready r using taken t
    where r.queue = any(array[t.queue]) and r.type = any(array[t.type]) and r.priority = any(array[t.priority])
      and r.job_id >= t.job_id and r.job_id <= t.job_id
    returning r.*, case when r.marks & {Mark.KEYED:d} <> 0 then clock_timestamp() else now() end as began
),
started as (
    insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt,
                         crashes, callback_events, marks, batch_id, queue, type, started_at)
    select tenant_id, job_id, $6, now() + timeout_seconds * interval '1 second', token + 1, sequence + 1,
           timeout_seconds, priority, attempt + 1, crashes, callback_events, {{marks}}, batch_id, queue, type, began
    from gone
    returning tenant_id, job_id, token, attempt, sequence, crashes, type, queue, priority, timeout_seconds,
              callback_events, marks, started_at
),
told as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, occurred_at, source)
    select tenant_id, job_id, sequence, {EventKind.STARTED:d}, attempt, started_at, $8 from started
),
{outbox(_STARTED_EVENTS)}
"""
CLAIMED = f"""
select s.tenant_id, s.job_id, s.token, s.attempt, s.sequence, s.crashes, s.type, s.queue, s.priority,
       s.timeout_seconds, j.max_attempts,
       case when s.marks & {Mark.MERGED:d} <> 0 then (
           select (e.data -> 'parameters')::text from events e
           where e.job_id = s.job_id and e.kind = {EventKind.REQUEUED:d} and e.data -> 'parameters' is not null
           order by e.sequence desc limit 1
       ) else j.parameters::text end,
       j.labels::text, j.correlation_id, j.traceparent, {DELIVERS}, s.marks,
       case when s.marks & {Mark.CHECKPOINT:d} <> 0 then (
           select value::text from checkpoints where job_id = s.job_id and tenant_id = s.tenant_id
       ) end
from started s cross join lateral (
    select max_attempts, parameters, labels, correlation_id, traceparent
    from jobs where tenant_id = s.tenant_id and job_id = s.job_id and job_id >= $7 offset 0
) j
"""
CLAIM = f"with {CLAIM_STEPS.format(room='$5', marks='marks', exclude='')} {CLAIMED}"
# Excludes jobs that were found to be unstartable.
EXCLUDE_JOBS = " and job_id <> all({jobs}::uuid[])"
CLAIM_EXCLUDING = (
    f"with {CLAIM_STEPS.format(room='$5', marks='marks', exclude=EXCLUDE_JOBS.format(jobs='$10'))} {CLAIMED}"
)


async def claim_ready(
    connection: Connection,
    lanes: Sequence[LaneStart],
    *,
    limit: int,
    node_id: UUID,
    source: str,
    version: int,
    exclude: Sequence[UUID] = (),
) -> list[ClaimedJob]:
    """Claims up to `limit` jobs for this node, in the order of the lanes and by age within each, without those in
    `exclude`; none if `version` is not the newest version of the claim restrictions.
    """
    rows = await connection.fetch(
        CLAIM_EXCLUDING if exclude else CLAIM,
        [start.lane.queue for start in lanes],
        [start.lane.type for start in lanes],
        [start.lane.priority for start in lanes],
        [start.floor for start in lanes],
        limit,
        node_id,
        min(start.floor for start in lanes),
        source,
        version,
        *([exclude] if exclude else ()),
    )
    return [ClaimedJob(*row) for row in rows]


FIND_FIRST_READY = """
select r.job_id from unnest($1::text[], $2::text[], $3::smallint[], $4::uuid[]) as l (queue, type, priority, floor)
cross join lateral (
    select job_id from ready
    where queue = l.queue and type = l.type and priority = l.priority and job_id >= l.floor
      and (expires_at is null or expires_at > now()) and job_id <> all($5)
    order by job_id limit 1 for update skip locked
) r
limit 1
"""


async def find_first_ready(
    connection: Connection, lanes: Sequence[LaneStart], *, exclude: Sequence[UUID]
) -> list[UUID]:
    """Returns the job that a claim of one would take, if any."""
    rows = await connection.fetch(
        FIND_FIRST_READY,
        [start.lane.queue for start in lanes],
        [start.lane.type for start in lanes],
        [start.lane.priority for start in lanes],
        [start.floor for start in lanes],
        exclude,
    )
    return [row[0] for row in rows]


# Loose index scan: one descent for each lane that exists, independent of the number of its jobs.
FIND_LANES = """
with recursive lane as (
    (select queue, type, priority, job_id from ready order by queue, type, priority, job_id limit 1)
    union all
    select n.* from lane l cross join lateral (
        select queue, type, priority, job_id from ready
        where (queue, type, priority) > (l.queue, l.type, l.priority)
        order by queue, type, priority, job_id limit 1
    ) n
)
select queue, type, priority, job_id from lane
"""


# The same within one queue, as the head of another select.
LANES_OF_QUEUE = """
with recursive lane as (
    (select queue, type, priority from ready where queue = {queue} order by queue, type, priority limit 1)
    union all
    select n.* from lane l cross join lateral (
        select queue, type, priority from ready
        where (queue, type, priority) > (l.queue, l.type, l.priority) and queue = {queue}
        order by queue, type, priority limit 1
    ) n
)
"""


async def find_lanes(connection: Connection) -> list[LaneStart]:
    """Returns each lane that has a job, with the id of its oldest."""
    return [LaneStart(Lane(*row[:3]), row[3]) for row in await connection.fetch(FIND_LANES)]
