"""Finished webhooks of several days and some pending ones, filled by SQL, for busy and quiet endpoints."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from duly.domain.ids import smallest_id_at
from duly.store.postgres.database import Connection
from tests.support.filled_ledger import UNATTENDED
from tests.support.query_plans import vacuum

BUSY, QUIET, EARLY = UUID(int=0xB), UUID(int=0xC), UUID(int=0xD)
# The quiet endpoint gets one event in this number; the early one gets many, but none in the later part of a day.
ONE_IN, EARLY_PART = 50, 0.4
# Of the webhooks to the busy endpoint, one in this number failed, and one in this number was redelivered.
FAILS, AGAIN = 1_000, 100
DAYS = 5

# The id of a delivery contains almost the time of its job's id; the rest of both is a hash.
_MADE = """
create unlogged table told as
select n, (stamp || '7' || left(md5('j' || n), 3) || '8' || left(md5('k' || n), 15))::uuid as job_id,
       (stamp || '7' || left(md5('d' || n), 3) || '9' || left(md5('e' || n), 15))::uuid as delivery_id,
       case when n % $7 = 0 then $5::uuid when n * $8 % $3 < $9 * $3 then $6::uuid else $4::uuid end as receiver_id,
       case when n % 10 = 0 then 11 else 10 end as kind, n >= $3 - 200 as waits
from (
    select n, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') as stamp
    from generate_series(0, $3 - 1) n cross join lateral (select $1::timestamptz + n * $2::interval / $3 as at) m
) numbered
"""
_STATEMENTS = (
    """
    insert into delivery_attempts (tenant_id, job_id, delivery_id, attempted_at, sequence, duration_ms, kind, attempt,
                                   outcome, status_code, error, answer, receiver_id, registered)
    select 1, job_id, delivery_id, now(), 2, 20, kind, attempt, outcome, 204, null, repeat('x', 100), receiver_id, true
    from told cross join lateral (
        select 1 as attempt, case when n % {again} = 1 or n % {fails} = 2 then 3 else 1 end as outcome
        union all
        select 2, 1 where n % {again} = 1
    ) a
    where not waits
    """,
    """
    insert into deliveries (tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered, due_at)
    select 1, delivery_id, job_id, 2, kind, receiver_id, true, now() + interval '1 day' from told where waits
    """,
)


async def fill_outbox(connection: Connection, *, deliveries: int) -> None:
    """Inserts this number of deliveries, spread evenly over the days before today."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(DAYS, 0, -1):
        day = today - timedelta(days=back)
        name = f"delivery_attempts_{day:%Y%m%d}"
        if not await connection.fetchval("select to_regclass($1)", name):
            bounds = f"from ('{smallest_id_at(day)}') to ('{smallest_id_at(day + timedelta(days=1))}')"
            await connection.execute(f"create table {name} partition of delivery_attempts for values {bounds}")
    statement = _MADE
    endpoints = [f"'{each}'" for each in (BUSY, QUIET, EARLY)]
    first = today - timedelta(days=DAYS)
    given = (f"'{first}'", f"'{DAYS} days'", deliveries, *endpoints, ONE_IN, DAYS, EARLY_PART)
    for place, value in enumerate(given, start=1):
        statement = statement.replace(f"${place}", str(value))
    await connection.execute("drop table if exists told")
    await connection.execute(statement)
    for each in _STATEMENTS:
        await connection.execute(each.format(again=AGAIN, fails=FAILS))
    await connection.execute(UNATTENDED)
    await vacuum(connection, "delivery_attempts", "deliveries")


async def empty_outbox(connection: Connection) -> None:
    """Deletes all deliveries, because their jobs do not exist."""
    await connection.execute("truncate delivery_attempts, deliveries, replays")
    await connection.execute("drop table if exists told")
