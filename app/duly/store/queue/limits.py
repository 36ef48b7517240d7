"""Table `limits`: concurrency and start rate of queues and job types."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from duly.domain.job import Mark
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection


class Scope(IntEnum):
    """Subject of a limit. Stored numbers."""

    QUEUE = 1
    TYPE = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """Start rate: a bucket of `count` tokens that is full again after `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """Limits of one queue or type."""

    concurrency: int | None = None
    rate: Rate | None = None


UNLIMITED = FlowLimits()
READ_LIMITS = (
    "select concurrency, rate_count, rate_seconds from limits where tenant_id = $1 and scope = $2 and name = $3"
)


async def read_limits(connection: Connection, tenant_id: int, scope: Scope, name: str) -> FlowLimits | None:
    """Returns the limits; None without any."""
    row = await connection.fetchrow(READ_LIMITS, tenant_id, scope, name)
    return None if row is None else limits_in(row)


READ_LIMITS_OF = """
select concurrency, rate_count, rate_seconds, name from limits
where tenant_id = $1 and scope = $2 and name = any($3::text[])
"""


async def read_limits_of(
    connection: Connection, tenant_id: int, scope: Scope, names: Sequence[str]
) -> dict[str, FlowLimits]:
    """Returns the limits of those of these queues or types that have some."""
    return {row[3]: limits_in(row) for row in await connection.fetch(READ_LIMITS_OF, tenant_id, scope, names)}


def limits_in(row: Record) -> FlowLimits:
    """Returns the limits in a row: concurrency, number of starts, and seconds."""
    return FlowLimits(row[0], Rate(row[1], row[2]) if row[1] is not None else None)


# A new bucket is full. One whose size or rate changes keeps its tokens, up to the size, so that setting equal limits
# again grants nothing. A new limit takes effect later, because claims in progress do not know it.
SET_LIMITS = """
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
    """Replaces the limits of a queue or type. New limits allow no start for `begins_in_seconds`, or until
    `activate_limits`.
    """
    rate = (limits.rate.count, limits.rate.seconds) if limits.rate else (None, None)
    await connection.execute(SET_LIMITS, tenant_id, scope, name, limits.concurrency, *rate, begins_in_seconds)


DELETE_LIMITS = "delete from limits where tenant_id = $1 and scope = $2 and name = $3 returning true"


async def delete_limits(connection: Connection, tenant_id: int, scope: Scope, name: str) -> bool:
    """Deletes the limits of starts. Returns whether there were any."""
    return await connection.fetchval(DELETE_LIMITS, tenant_id, scope, name) is not None


# Rows locked by a worker or another request are left to the next round: waiting for several of them could deadlock.
MARK_RUNNING = """
with chosen as materialized (
    select job_id from running
    where tenant_id = $1 and {column} = $2 and marks & {mark} = 0 limit 1000 for update skip locked
)
update running r set marks = r.marks | {mark} from chosen c where r.job_id = c.job_id
"""
HAS_UNMARKED = "select exists (select from running where tenant_id = $1 and {column} = $2 and marks & {mark} = 0)"
_COUNTED = {
    Scope.QUEUE: {"column": "queue", "mark": int(Mark.QUEUE_LIMITED)},
    Scope.TYPE: {"column": "type", "mark": int(Mark.TYPE_LIMITED)},
}


async def mark_running(connection: Connection, tenant_id: int, scope: Scope, name: str) -> bool:
    """Marks running jobs, so that the limit counts them. Returns whether all are marked."""
    counted = _COUNTED[scope]
    await connection.execute(MARK_RUNNING.format(**counted), tenant_id, name)
    uncounted: bool = await connection.fetchval(HAS_UNMARKED.format(**counted), tenant_id, name)
    return not uncounted


# Compared with the present time: a claim that began after this transaction may have refilled the bucket since, and
# setting it back would grant the tokens between the two again.
ACTIVATE_LIMITS = """
update limits set refilled_at = now()
where tenant_id = $1 and scope = $2 and name = $3 and refilled_at > clock_timestamp()
"""


async def activate_limits(connection: Connection, tenant_id: int, scope: Scope, name: str) -> None:
    """Activates limits, once all jobs that started without them are marked."""
    await connection.execute(ACTIVATE_LIMITS, tenant_id, scope, name)
