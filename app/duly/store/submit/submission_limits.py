"""Submission limits in the table `limits`: jobs that a tenant may submit per time, and jobs that may
wait in a queue.

Scope 0 has the rate of the tenant and the backlog of any queue, 3 the backlog of one queue, 4 the token bucket.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from duly.store.postgres.database import Connection
from duly.store.queue.limits import Rate
from duly.store.queue.ready import LANES_OF_QUEUE


@dataclass(frozen=True, slots=True)
class SubmissionLimits:
    """Submission limits; None: unlimited. `backlog` applies to each queue that is not in `backlogs`."""

    rate: Rate | None = None
    backlog: int | None = None
    backlogs: Mapping[str, int] = field(default_factory=dict)

    def backlog_of(self, queue: str) -> int | None:
        """Returns the backlog limit of a queue."""
        return self.backlogs.get(queue, self.backlog)

    @property
    def none(self) -> bool:
        """Returns whether nothing is limited."""
        return self.rate is None and self.backlog is None and not self.backlogs


READ_LIMITS = """
select scope, name, rate_count, rate_seconds, backlog from limits where tenant_id = $1 and scope in (0, 3)
"""


async def read_submission_limits(connection: Connection, tenant_id: int) -> SubmissionLimits | None:
    """Returns the limits that were set at run time; None if none were."""
    rows = await connection.fetch(READ_LIMITS, tenant_id)
    general = next((row for row in rows if row[0] == 0), None)
    if general is None:
        return None
    rate = Rate(general[2], general[3]) if general[2] is not None else None
    return SubmissionLimits(rate, general[4], {row[1]: row[4] for row in rows if row[0] != 0})


DELETE_LIMITS = "delete from limits where tenant_id = $1 and scope in (0, 3, 4)"
INSERT_LIMITS = """
insert into limits (tenant_id, scope, name, rate_count, rate_seconds, backlog) values ($1, 0, '', $2, $3, $4)
"""
INSERT_QUEUE_LIMITS = """
insert into limits (tenant_id, scope, name, backlog)
select $1, 3, name, backlog from unnest($2::text[], $3::int[]) as a (name, backlog)
"""


async def save_submission_limits(connection: Connection, tenant_id: int, limits: SubmissionLimits | None) -> None:
    """Replaces the limits that were set at run time; None restores those of the settings."""
    async with connection.transaction():
        await connection.execute(DELETE_LIMITS, tenant_id)
        if limits is None:
            return
        count, seconds = (limits.rate.count, limits.rate.seconds) if limits.rate else (None, None)
        await connection.execute(INSERT_LIMITS, tenant_id, count, seconds, limits.backlog)
        await connection.execute(INSERT_QUEUE_LIMITS, tenant_id, list(limits.backlogs), list(limits.backlogs.values()))


class TakenTokens(NamedTuple):
    """Tokens taken; if 0, `seconds` until there are enough."""

    tokens: int
    seconds: float


INSERT_BUCKET = """
insert into limits (tenant_id, scope, name, tokens) values ($1, 4, '', $2) on conflict do nothing
"""
# By the database's clock, so that all nodes share one bucket.
READ_BUCKET = """
select least($2::float8, tokens + greatest(extract(epoch from now() - refilled_at), 0)::float8 * $2 / $3)
from limits where tenant_id = $1 and scope = 4 for update
"""
UPDATE_BUCKET = "update limits set tokens = $2, refilled_at = now() where tenant_id = $1 and scope = 4"


async def take_tokens(connection: Connection, tenant_id: int, rate: Rate, *, needed: int, wanted: int) -> TakenTokens:
    """Takes up to `wanted` tokens if there are `needed`. If more are needed than the bucket holds, a full one is
    enough, and is in debt afterwards.
    """
    async with connection.transaction():
        await connection.execute(INSERT_BUCKET, tenant_id, float(rate.count))
        there: float = await connection.fetchval(READ_BUCKET, tenant_id, float(rate.count), rate.seconds)
        enough = min(needed, rate.count)
        if there < enough:
            return TakenTokens(0, (enough - there) * rate.seconds / rate.count)
        taken = max(needed, min(wanted, int(there)))
        await connection.execute(UPDATE_BUCKET, tenant_id, there - taken)
        return TakenTokens(taken, 0.0)


# Counts each lane up to the limit, so that a much longer queue costs no more.
COUNT_WAITING = f"""
{LANES_OF_QUEUE.format(queue="$2")}
select coalesce(sum(c.n), 0)::int + (
    select count(*)::int from (select from blocked where tenant_id = $1 and queue = $2 limit $3) b
) from lane l cross join lateral (
    select count(*) as n from (
        select from ready where queue = l.queue and type = l.type and priority = l.priority and tenant_id = $1 limit $3
    ) r
) c
"""


async def count_waiting(connection: Connection, tenant_id: int, queue: str, *, up_to: int) -> int:
    """Returns the number of jobs of the queue that are ready or blocked; it counts up to `up_to`."""
    waiting: int = await connection.fetchval(COUNT_WAITING, tenant_id, queue, up_to)
    return waiting
