"""Submission limits in the table `limits`: jobs that a tenant may submit per time, and jobs that may
wait in a queue.

Scope 0 has the rate of the tenant and the backlog of any queue, 3 the backlog of one queue, 4 the token bucket, 5 that
of an API key.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from duly.store.ledger.ready_keys import in_lane
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection
from duly.store.queue.limits import Rate
from duly.store.queue.ready import lanes_of_queue


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
select tenant_id, scope, name, rate_count, rate_seconds, backlog from limits
where tenant_id = any($1::int[]) and scope in (0, 3)
"""


async def read_submission_limits(connection: Connection, tenant_ids: Collection[int]) -> dict[int, SubmissionLimits]:
    """Returns what these tenants have set while the service ran; without those that have set nothing."""
    rows: dict[int, list[Record]] = {}
    for row in await connection.fetch(READ_LIMITS, list(tenant_ids)):
        rows.setdefault(row[0], []).append(row)
    return {tenant_id: limits for tenant_id, found in rows.items() if (limits := _limits(found)) is not None}


def _limits(rows: list[Record]) -> SubmissionLimits | None:
    general = next((row for row in rows if row[1] == 0), None)
    if general is None:
        return None
    rate = Rate(general[3], general[4]) if general[3] is not None else None
    return SubmissionLimits(rate, general[5], {row[2]: row[5] for row in rows if row[1] != 0})


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


class BucketKey(NamedTuple):
    """Token bucket of a tenant's submissions, or of the requests of one of its API keys."""

    tenant_id: int
    scope: int
    name: str

    @classmethod
    def of_submissions(cls, tenant_id: int) -> "BucketKey":
        """Returns the bucket of a tenant's submissions."""
        return cls(tenant_id, 4, "")

    @classmethod
    def of_key(cls, tenant_id: int, key_id: str) -> "BucketKey":
        """Returns the bucket of a key's requests."""
        return cls(tenant_id, 5, key_id)


class TakenTokens(NamedTuple):
    """Tokens taken; if 0, `seconds` until there are enough."""

    tokens: int
    seconds: float


DROP_BUCKET = "delete from limits where tenant_id = $1 and scope = $2 and name = $3"


async def drop_bucket(connection: Connection, key: BucketKey) -> None:
    """Deletes a bucket; the next use makes a full one."""
    await connection.execute(DROP_BUCKET, *key)


INSERT_BUCKET = """
insert into limits (tenant_id, scope, name, tokens) values ($1, $2, $3, $4) on conflict do nothing
"""
# By the database's clock, so that all nodes take from one bucket.
READ_BUCKET = """
select least($4::float8, tokens + greatest(extract(epoch from now() - refilled_at), 0)::float8 * $4 / $5)
from limits where tenant_id = $1 and scope = $2 and name = $3 for update
"""
UPDATE_BUCKET = "update limits set tokens = $4, refilled_at = now() where tenant_id = $1 and scope = $2 and name = $3"


async def take_tokens(connection: Connection, key: BucketKey, rate: Rate, *, needed: int, wanted: int) -> TakenTokens:
    """Takes up to `wanted` tokens where there are `needed`. More than the bucket holds may be needed: then a full one
    is enough, and it is in debt afterwards.
    """
    async with connection.transaction():
        await connection.execute(INSERT_BUCKET, *key, float(rate.count))
        there: float = await connection.fetchval(READ_BUCKET, *key, float(rate.count), rate.seconds)
        enough = min(needed, rate.count)
        if there < enough:
            return TakenTokens(0, (enough - there) * rate.seconds / rate.count)
        taken = max(needed, min(wanted, int(there)))
        await connection.execute(UPDATE_BUCKET, *key, there - taken)
        return TakenTokens(taken, 0.0)


# Counts each lane up to the limit, so that a much longer queue costs no more.
COUNT_WAITING = f"""
{lanes_of_queue("$1", "$2")}
select coalesce(sum(c.n), 0)::int + (
    select count(*)::int from (select from blocked where tenant_id = $1 and queue = $2 limit $3) b
) from lane l cross join lateral (
    select count(*) as n from (
        select from ready where {in_lane("l")} limit $3
    ) r
) c
"""


async def count_waiting(connection: Connection, tenant_id: int, queue: str, *, up_to: int) -> int:
    """Returns the number of jobs of the queue that are ready or blocked; it counts up to `up_to`."""
    waiting: int = await connection.fetchval(COUNT_WAITING, tenant_id, queue, up_to)
    return waiting
