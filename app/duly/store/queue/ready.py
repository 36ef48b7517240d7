"""Table `ready`: jobs that may start now, in lanes, and their claims."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.fair_shares import turns
from duly.domain.job import ClaimedJob, Lane, LeaseFacts, Mark
from duly.store.ledger.outbox import DELIVERS, outbox, recorded_job
from duly.store.ledger.ready_keys import in_lane
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection
from duly.store.queue.lease_plan import LeasePlan, lease_steps


class LaneStart(NamedTuple):
    """Start of a claim in a lane: entries below `floor` are known to be gone."""

    lane: Lane
    floor: UUID


def lane_columns(lanes: Sequence[LaneStart]) -> tuple[Sequence[object], ...]:
    """Returns the first parameters of a statement over lanes: tenants, queues, types, priorities and floors."""
    tenants, queues, types, priorities = zip(*(start.lane for start in lanes), strict=True)
    return tenants, queues, types, priorities, [start.floor for start in lanes]


_LANES = """
unnest($1::int[], $2::text[], $3::text[], $4::smallint[], $5::uuid[]) as l (tenant_id, queue, type, priority, floor)
""".strip()
_LANES_OF_TURN = """
unnest(
    ($1::int[])[t.first:t.last], ($2::text[])[t.first:t.last], ($3::text[])[t.first:t.last],
    ($4::smallint[])[t.first:t.last], ($5::uuid[])[t.first:t.last]
) as l (tenant_id, queue, type, priority, floor)
""".strip()
_STARTED_EVENTS = f"(select *, {EventKind.STARTED:d}::smallint as kind from started)"

# Lanes are read in the given order, turn by turn (`duly.domain.fair_shares`), each as far as the previous ones left
# room: the lateral sub-selects lock row by row and the limits stop them, so no more rows are locked than claimed. In
# its second turn, a tenant passes the rows of its first one, which this transaction has locked. If another transaction
# unlocked one in between, a row comes twice, and one less is claimed.
# The locked rows are then deleted by their place, which cannot change any more: a descent of the index for each would
# take a seventh of the statement. A row that another transaction changed since the snapshot is not seen at its new
# place, and left to the next claim. The parameters are read from `jobs` by key, row by row. No claimed
# id is below `$8`, so an execution skips older partitions. A node with an older version (`$10`) of the claim
# restrictions claims nothing. Data behind a mark is read only for rows with the mark.
# Lanes under limits are claimed by another statement: `duly.store.queue.claim_limited`.
CLAIM_STEPS = f"""
taken as materialized (
    select r.* from {{turns}} as t (first, last, most, skipped)
    cross join lateral (
        select j.* from {_LANES_OF_TURN}
        cross join lateral (
            select tenant_id, ctid as place, job_id from ready
            where {in_lane("l")} and job_id >= l.floor
              and (expires_at is null or expires_at > now()){{exclude}}
            order by job_id limit t.most + t.skipped for update skip locked
        ) j
        limit t.most offset t.skipped
    ) r
    where (select version from control where id = 1) = $10
    limit {{room}}
),
gone as (
    delete from ready r using taken t
    where r.ctid = t.place and r.tenant_id = t.tenant_id
    returning r.*, {{began}} as began
),
started as (
    insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt,
                         crashes, callback_events, marks, batch_id, queue, type, started_at)
    select tenant_id, job_id, $7, now() + timeout_seconds * interval '1 second', token + 1, sequence + 1,
           timeout_seconds, priority, attempt + 1, crashes, callback_events, {{marks}}, batch_id, queue, type, began
    from gone
    returning tenant_id, job_id, token, attempt, sequence, crashes, type, queue, priority, timeout_seconds,
              callback_events, marks, started_at
),
told as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, occurred_at, source)
    select tenant_id, job_id, sequence, {EventKind.STARTED:d}, attempt, started_at, $9 from started
),
{outbox(_STARTED_EVENTS, job=recorded_job(oldest="$8"))}
"""


# Seconds from the moment at which a started job was ready until its start. The first start of a job counts from its
# submission or, where later, from `run_at`; further ones from the event that made it ready. Null where that moment is
# not recorded: after dependencies, and after the delay of a retry. Unlike `extract`, `date_part` computes no decimal,
# which would take a microsecond.
_WAITED = f"""date_part('epoch', s.started_at - case when s.sequence > 1 then (
           select e.occurred_at from events e
           where e.tenant_id = s.tenant_id and e.job_id = s.job_id and e.job_id >= $8
             and e.sequence = s.sequence - 1 and e.kind <> {EventKind.RETRY_SCHEDULED:d}
           limit 1
       ) when j.depends_on is null then greatest(j.created_at, j.run_at) end)"""
_CLAIMED = f"""
select s.tenant_id, s.job_id, s.token, s.attempt, s.sequence, s.crashes, s.type, s.queue, s.priority,
       s.timeout_seconds, j.max_attempts,
       case when s.marks & {Mark.MERGED:d} <> 0 then (
           select (e.data -> 'parameters')::text from events e
           where e.job_id = s.job_id and e.job_id >= $8 and e.kind = {EventKind.REQUEUED:d}
             and e.data -> 'parameters' is not null
           order by e.sequence desc limit 1
       ) else j.parameters::text end,
       j.labels::text, j.correlation_id, j.traceparent, {DELIVERS}, s.marks,
       case when s.marks & {Mark.CHECKPOINT:d} <> 0 then (
           select value::text from checkpoints where job_id = s.job_id and tenant_id = s.tenant_id
       ) end,
       {_WAITED}{{more}}
from {{started}} s cross join lateral (
    select max_attempts, parameters, labels, correlation_id, traceparent, created_at, run_at, depends_on{{columns}}
    from jobs where tenant_id = s.tenant_id and job_id = s.job_id and job_id >= $8 offset 0
) j
"""
CLAIMED = _CLAIMED.format(more="", started="started", columns="")
# With what only workers over HTTP are told.
CLAIMED_FOR_LEASES = _CLAIMED.format(
    more=f""",
       s.started_at, j.created_at, j.run_at, j.batch_id, j.parent_id, j.depends_on,
       case when s.sequence > 1 then (
           select e.data::text from events e
           where e.job_id = s.job_id and e.job_id >= $8 and e.tenant_id = s.tenant_id
             and e.kind = {EventKind.PROGRESSED:d}
           order by e.sequence desc limit 1
       ) end, s.expires_at, s.plan_index""",
    started="granted",
    columns=", batch_id, parent_id",
)
# Columns of a claimed job before those.
OF_CLAIM = 19
# Excludes jobs that were found to be unstartable.
EXCLUDE_JOBS = " and job_id <> all({jobs}::uuid[])"
# A mark of an earlier attempt over HTTP may be left by a release that does not know it. Signals that arrived during an
# attempt are found by the next one.
UNLEASED_MARKS = f"marks & ~{Mark.LEASED | Mark.SIGNALLED:d}"
LEASED_MARKS = f"marks & ~{Mark.SIGNALLED:d} | {Mark.LEASED:d}"
# An attempt begins when the job's row is deleted: `now()`, the start of the transaction, may be before the event that
# made the job ready, and before the end of the job that held its concurrency key.
AT_DELETION = "clock_timestamp()"


def _claim(*, leased: bool, excluding: bool) -> str:
    steps = CLAIM_STEPS.format(
        turns="unnest($11::int[], $12::int[], $13::int[], $14::int[])",
        room="$6",
        marks=LEASED_MARKS if leased else UNLEASED_MARKS,
        exclude=EXCLUDE_JOBS.format(jobs="$19" if leased else "$15") if excluding else "",
        began=AT_DELETION,
    )
    return f"with {steps},\n{lease_steps(15)}\n{CLAIMED_FOR_LEASES}" if leased else f"with {steps} {CLAIMED}"


CLAIM = _claim(leased=False, excluding=False)
CLAIM_EXCLUDING = _claim(leased=False, excluding=True)
LEASE = _claim(leased=True, excluding=False)
LEASE_EXCLUDING = _claim(leased=True, excluding=True)


async def claim_ready(  # noqa: PLR0913  # the parts of a claim
    connection: Connection,
    lanes: Sequence[LaneStart],
    *,
    limit: int,
    node_id: UUID,
    source: str,
    version: int,
    exclude: Sequence[UUID] = (),
    leases: LeasePlan | None = None,
) -> list[ClaimedJob]:
    """Claims up to `limit` jobs for this node, in the order of the lanes and by age within each, without those in
    `exclude`; none if `version` is not the newest version of the claim restrictions. Tenants, each with its lanes one
    after another, have equal shares.

    Args:
        leases: those to record, for workers over HTTP.
    """
    statement, excluding = (CLAIM, CLAIM_EXCLUDING) if leases is None else (LEASE, LEASE_EXCLUDING)
    rows = await connection.fetch(
        excluding if exclude else statement,
        *lane_columns(lanes),
        limit,
        node_id,
        min(start.floor for start in lanes),
        source,
        version,
        *zip(*turns([start.lane.tenant_id for start in lanes], limit), strict=True),
        *(leases or ()),
        *([exclude] if exclude else ()),
    )
    return [ClaimedJob(*row) for row in rows] if leases is None else [job_for_lease(row) for row in rows]


def job_for_lease(row: Record | tuple[Any, ...]) -> ClaimedJob:
    """Returns the job of a row of a claim for workers over HTTP."""
    return ClaimedJob._make((*row[:OF_CLAIM], LeaseFacts(*row[OF_CLAIM:])))


FIND_FIRST_READY = f"""
select r.tenant_id, r.job_id from {_LANES}
cross join lateral (
    select tenant_id, job_id from ready
    where {in_lane("l")} and job_id >= l.floor and (expires_at is null or expires_at > now()) and job_id <> all($6)
    order by job_id limit 1 for update skip locked
) r
limit 1
"""


async def find_first_ready(
    connection: Connection, lanes: Sequence[LaneStart], *, exclude: Sequence[UUID]
) -> tuple[int, UUID] | None:
    """Returns the job, as (tenant, job), that a claim of one would take, if any."""
    row = await connection.fetchrow(
        FIND_FIRST_READY,
        *lane_columns(lanes),
        exclude,
    )
    return None if row is None else (row[0], row[1])


# Loose index scan: one descent for each lane that exists, independent of the number of its jobs.
_EVERY_LANE = """
with recursive lane as (
    (select tenant_id, queue, type, priority, job_id from ready {of}
     order by tenant_id, queue collate "C", type collate "C", priority, job_id limit 1)
    union all
    select n.* from lane l cross join lateral (
        select tenant_id, queue, type, priority, job_id from ready
        where ({key}) > ({previous}) {also}
        order by tenant_id, queue collate "C", type collate "C", priority, job_id limit 1
    ) n
)
"""
FIND_LANES = (
    _EVERY_LANE.format(
        of="",
        key='tenant_id, queue collate "C", type collate "C", priority',
        previous="l.tenant_id, l.queue, l.type, l.priority",
        also="",
    )
    + "select tenant_id, queue, type, priority, job_id from lane"
)


def lanes_of_tenant(tenant: str) -> str:
    """Returns the head of a select from `lane`, the lanes of the tenant with the parameter `tenant`."""
    return _EVERY_LANE.format(
        of=f"where tenant_id = {tenant}",
        key='queue collate "C", type collate "C", priority',
        previous="l.queue, l.type, l.priority",
        also=f"and tenant_id = {tenant}",
    )


def lanes_of_queue(tenant: str, queue: str) -> str:
    """Returns the head of a select from `lane`, the lanes of one queue of a tenant."""
    only = f'tenant_id = {tenant} and queue = {queue} collate "C"'
    return _EVERY_LANE.format(
        of=f"where {only}", key='type collate "C", priority', previous="l.type, l.priority", also=f"and {only}"
    )


async def find_lanes(connection: Connection) -> list[LaneStart]:
    """Returns each lane that has a job, with the id of its oldest."""
    return [LaneStart(Lane(*row[:4]), row[4]) for row in await connection.fetch(FIND_LANES)]
