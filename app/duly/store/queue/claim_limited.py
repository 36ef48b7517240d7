"""Claims under limits, exact over all nodes.

The row of a limit is the lock of all starts under it. A claim locks the row, counts running jobs, claims those that
fit, and updates the row in one statement, so a node that stops in between leaves no lock. No claim waits for another:
the room is computed first, from the snapshot of the statement, and a row is locked only if there is room. If another
node started jobs since the snapshot, the locked row is newer than the one in the snapshot, and nothing is claimed,
because those jobs were not counted.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import ClaimedJob, Mark
from duly.store.postgres.database import Connection
from duly.store.queue.lease_plan import LeasePlan, lease_steps
from duly.store.queue.limits import Scope
from duly.store.queue.ready import (
    AT_DELETION,
    CLAIM_STEPS,
    CLAIMED,
    CLAIMED_FOR_LEASES,
    EXCLUDE_JOBS,
    LEASED_MARKS,
    UNLEASED_MARKS,
    LaneStart,
    job_for_lease,
    lane_columns,
)

# Locked one after the other: of two claims that each held one of the same two limits, neither would take anything.
_HELD = """
    select $13 as tenant_id, s.scope, s.name, s.tokens from seen s cross join lateral (
        select xmin as written from limits
        where tenant_id = $13 and scope = s.scope and name = s.name and (select room from {room}) > 0
        for update skip locked
    ) h
    where s.scope = {scope} and h.written = s.written
"""

# Started jobs are marked ($15), and only marked ones are counted: an index of marked rows costs other jobs nothing. The
# time of a start is `now()`, the beginning of its transaction, except for jobs with a concurrency key. Tokens are
# computed by the same clock; there are none if that is before the last start, or if the limit is so new that older
# claims may be in progress.
_BEGAN = f"case when r.marks & {Mark.KEYED:d} <> 0 then {AT_DELETION} else now() end"
_OF_QUEUE, _OF_TYPE = Mark.QUEUE_LIMITED, Mark.TYPE_LIMITED
_CLAIM_OF_LANE = CLAIM_STEPS.format(
    turns="(select 1, cardinality($1::int[]), room, 0 from may)",
    room="(select room from may)",
    marks="{marks} | $15::int",
    exclude="{exclude}",
    began=_BEGAN,
)
_CLAIM_LIMITED = f"""
with asked as materialized (
    select * from unnest($11::smallint[], $12::text[]) as a (scope, name)
),
seen as materialized (
    select a.scope, a.name, l.written, l.rate_count, l.rate_seconds,
           case when l.concurrency is null then null when a.scope = 1 then l.concurrency - (
               select count(*) from running where tenant_id = $13 and queue = a.name and marks & {_OF_QUEUE:d} <> 0
           ) else l.concurrency - (
               select count(*) from running where tenant_id = $13 and type = a.name and marks & {_OF_TYPE:d} <> 0
           ) end as slots,
           least(l.rate_count, l.tokens + greatest(extract(epoch from now() - l.refilled_at), 0)::float8
                               * l.rate_count / l.rate_seconds) as tokens,
           greatest(extract(epoch from l.refilled_at - now()), 0)::float8 as begins_in
    from asked a cross join lateral (
        select concurrency, rate_count, rate_seconds, tokens, refilled_at, xmin as written
        from limits where tenant_id = $13 and scope = a.scope and name = a.name offset 0
    ) l
),
broken as materialized (
    select b.type, b.written, greatest(extract(epoch from b.probe_at - now()), 0)::float8 as begins_in,
           exists (select from running where job_id = b.probe_id) or (b.state = 2 and coalesce((
               select occurred_at > now() - interval '2 seconds' from events
               where job_id = b.probe_id order by sequence desc limit 1
           ), false)) as probing
    from (
        select type, state, probe_at, probe_id, xmin as written from breakers
        where tenant_id = $13 and type = $14 and state <> 0 offset 0
    ) b
),
hoped as materialized (
    select current, case when not current then 0 else greatest(0, least(
               $6::int,
               (select min(case when begins_in > 0 then 0 else least(slots, floor(tokens)) end) from seen),
               (select min(case when begins_in > 0 or probing then 0 else 1 end) from broken)
           ))::int end as room
    from (
        select (select version from control where id = 1) = $10
               and (select count(*) from seen) = cardinality($11)
               and ($14::text is null or exists (select from broken)) as current
    ) v
),
held_queue as materialized ({_HELD.format(scope=1, room="hoped")}),
with_queue as materialized (
    select case when (select count(*) from held_queue) = (select count(*) from seen where scope = 1)
                then room else 0 end as room from hoped
),
held_type as materialized ({_HELD.format(scope=2, room="with_queue")}),
with_type as materialized (
    select case when (select count(*) from held_type) = (select count(*) from seen where scope = 2)
                then room else 0 end as room from with_queue
),
held_breaker as materialized (
    select $13 as tenant_id, b.type from broken b cross join lateral (
        select xmin as written from breakers
        where tenant_id = $13 and type = b.type and (select room from with_type) > 0
        for update skip locked
    ) h
    where h.written = b.written
),
may as materialized (
    select case when (select count(*) from held_breaker) = (select count(*) from broken)
                then room else 0 end as room from with_type
),
{_CLAIM_OF_LANE},
{{leases}}claimed as ({{claimed}}),
n as materialized (select count(*)::int as started from started),
spent as (
    update limits l set tokens = coalesce(h.tokens - n.started, l.tokens), refilled_at = now()
    from (select * from held_queue union all select * from held_type) h cross join n
    where l.tenant_id = any(array[h.tenant_id]) and l.scope = any(array[h.scope])
      and l.name >= h.name and l.name <= h.name
      and n.started > 0
),
probed as (
    update breakers b set state = 2, probe_id = p.job_id
    from held_breaker h cross join (select job_id from started limit 1) p
    where b.tenant_id = any(array[h.tenant_id]) and b.type >= h.type and b.type <= h.type
)
select m.room, h.current, h.room > m.room,
       coalesce((select bool_or(slots <= n.started) from seen), false)
           or coalesce((select bool_or(begins_in = 0 and (probing or n.started > 0)) from broken), false),
       greatest(
           (select max(greatest(begins_in, (1 - (tokens - n.started)) * rate_seconds / rate_count)) from seen),
           (select max(begins_in) from broken),
           0
       )::float8,
       c.*
from may m cross join hoped h cross join n left join claimed c on true
"""


def _claim_limited(*, leased: bool, excluding: bool) -> str:
    parts = {
        "{marks}": LEASED_MARKS if leased else f"({UNLEASED_MARKS})",
        "{leases}": f"{lease_steps(16)},\n" if leased else "",
        "{claimed}": CLAIMED_FOR_LEASES if leased else CLAIMED,
        "{exclude}": EXCLUDE_JOBS.format(jobs="$20" if leased else "$16") if excluding else "",
    }
    return reduce(lambda statement, part: statement.replace(*part), parts.items(), _CLAIM_LIMITED)


CLAIM_LIMITED = _claim_limited(leased=False, excluding=False)
CLAIM_LIMITED_EXCLUDING = _claim_limited(leased=False, excluding=True)
LEASE_LIMITED = _claim_limited(leased=True, excluding=False)
LEASE_LIMITED_EXCLUDING = _claim_limited(leased=True, excluding=True)


class ClaimLimits(NamedTuple):
    """Limits of a claim, all of one tenant: of a queue, of a type, and the open breaker of a type. At least one is
    set.
    """

    tenant_id: int
    queue: str | None = None
    type: str | None = None
    breaker: str | None = None

    @property
    def marks(self) -> Mark:
        """Returns the marks by which jobs that start under these limits are counted."""
        of_queue = Mark.QUEUE_LIMITED if self.queue is not None else Mark(0)
        return of_queue | (Mark.TYPE_LIMITED if self.type is not None else Mark(0))


class LimitedClaim(NamedTuple):
    """Result of a limited claim, and the reason why it took no more.

    Attributes:
        room: number of jobs that the limits allowed.
        current: the version of the claim restrictions was the newest, and the limits existed.
        contended: another node was starting jobs under the same limits.
        full: the concurrency limit is reached.
        wait_seconds: time until the rate, or the breaker, allows one more; 0 if they do not restrict.
    """

    jobs: list[ClaimedJob]
    room: int
    current: bool
    contended: bool
    full: bool
    wait_seconds: float


async def claim_limited(  # noqa: PLR0913  # those of a claim, and the limits
    connection: Connection,
    lanes: Sequence[LaneStart],
    *,
    under: ClaimLimits,
    limit: int,
    node_id: UUID,
    source: str,
    version: int,
    exclude: Sequence[UUID] = (),
    leases: LeasePlan | None = None,
) -> LimitedClaim:
    """Claims as `claim_ready`, at most as many jobs as these limits allow over all nodes. The lanes are those of the
    tenant whose limits they are.
    """
    statement, excluding = (
        (CLAIM_LIMITED, CLAIM_LIMITED_EXCLUDING) if leases is None else (LEASE_LIMITED, LEASE_LIMITED_EXCLUDING)
    )
    named = [(Scope.QUEUE, under.queue), (Scope.TYPE, under.type)]
    rows = await connection.fetch(
        excluding if exclude else statement,
        *lane_columns(lanes),
        limit,
        node_id,
        min(start.floor for start in lanes),
        source,
        version,
        [scope for scope, name in named if name is not None],
        [name for _, name in named if name is not None],
        under.tenant_id,
        under.breaker,
        under.marks,
        *(leases or ()),
        *([exclude] if exclude else ()),
    )
    claimed = [row[5:] for row in rows if row[6] is not None]
    jobs = [ClaimedJob(*row) for row in claimed] if leases is None else [job_for_lease(row) for row in claimed]
    return LimitedClaim(jobs, *rows[0][:5])
