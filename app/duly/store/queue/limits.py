"""The table `limits`: how many jobs of a queue or a type run at once, and how many start in a time."""

from dataclasses import dataclass
from enum import IntEnum

from duly.domain.job import Mark
from duly.store.postgres.database import Connection


class Scope(IntEnum):
    """What a limit is for. Stored numbers."""

    QUEUE = 1
    TYPE = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts in so many seconds: a bucket that holds `count` tokens, and is full again after `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """The limits of one queue or type."""

    concurrency: int | None = None
    rate: Rate | None = None


READ = "select concurrency, rate_count, rate_seconds from limits where tenant_id = $1 and scope = $2 and name = $3"


async def read_limits(connection: Connection, tenant_id: int, scope: Scope, name: str) -> FlowLimits | None:
    """None where there is no row, so no limit of any kind."""
    row = await connection.fetchrow(READ, tenant_id, scope, name)
    return None if row is None else FlowLimits(row[0], Rate(row[1], row[2]) if row[1] is not None else None)


# A bucket is full at first. One whose size or speed changes keeps what is in it, as far as it holds it: the same limits
# set once more give nothing away. A limit that is new begins to count later: claims under way do not know it yet.
SET = """
insert into limits as l (tenant_id, scope, name, concurrency, rate_count, rate_seconds, tokens, refilled_at)
values ($1, $2, $3, $4, $5, $6, coalesce($5, 0), now() + $7 * interval '1 second')
on conflict (tenant_id, scope, name) do update set
    concurrency = excluded.concurrency, rate_count = excluded.rate_count, rate_seconds = excluded.rate_seconds,
    tokens = case
        when excluded.rate_count is null then 0 when l.rate_count is null then excluded.rate_count
        else least(excluded.rate_count, least(
            l.rate_count,
            l.tokens + greatest(extract(epoch from now() - l.refilled_at), 0)::float8 * l.rate_count / l.rate_seconds
        )) end,
    refilled_at = greatest(l.refilled_at, now())
"""


async def set_limits(
    connection: Connection, tenant_id: int, scope: Scope, name: str, limits: FlowLimits, *, begins_in_seconds: float
) -> None:
    """Replaces the limits of a queue or type. New ones let nothing start for so long, or until `limits_begin`."""
    rate = (limits.rate.count, limits.rate.seconds) if limits.rate else (None, None)
    await connection.execute(SET, tenant_id, scope, name, limits.concurrency, *rate, begins_in_seconds)


FORGET = "delete from limits where tenant_id = $1 and scope = $2 and name = $3 returning true"


async def forget_limits(connection: Connection, tenant_id: int, scope: Scope, name: str) -> bool:
    """Takes the limits of starts away. Returns whether there were any."""
    return await connection.fetchval(FORGET, tenant_id, scope, name) is not None


# What a worker or another request holds at the moment is left to the next round: waiting for several of their rows at
# once, in an order of our own, could wait for ever.
COUNT_IN = """
with chosen as materialized (
    select job_id from running
    where tenant_id = $1 and {column} = $2 and marks & {mark} = 0 limit 1000 for update skip locked
)
update running r set marks = r.marks | {mark} from chosen c where r.job_id = c.job_id
"""
UNCOUNTED = "select exists (select from running where tenant_id = $1 and {column} = $2 and marks & {mark} = 0)"
_COUNTED = {
    Scope.QUEUE: {"column": "queue", "mark": int(Mark.QUEUE_LIMITED)},
    Scope.TYPE: {"column": "type", "mark": int(Mark.TYPE_LIMITED)},
}


async def count_in(connection: Connection, tenant_id: int, scope: Scope, name: str) -> bool:
    """Marks what runs already, to be counted. Returns whether all of it is."""
    counted = _COUNTED[scope]
    await connection.execute(COUNT_IN.format(**counted), tenant_id, name)
    uncounted: bool = await connection.fetchval(UNCOUNTED.format(**counted), tenant_id, name)
    return not uncounted


BEGIN = """
update limits set refilled_at = now() where tenant_id = $1 and scope = $2 and name = $3 and refilled_at > now()
"""


async def limits_begin(connection: Connection, tenant_id: int, scope: Scope, name: str) -> None:
    """All that started without these limits is counted: from now on they allow what they allow."""
    await connection.execute(BEGIN, tenant_id, scope, name)
