"""The outbox: webhooks still to be sent (`deliveries`) and what came of each try (`delivery_attempts`)."""

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.store.database import Connection


class DueDelivery(NamedTuple):
    """A webhook to send now, with all that its body and headers are made of."""

    tenant_id: int
    delivery_id: UUID
    token: int
    attempt: int
    job_id: UUID
    sequence: int
    kind: EventKind
    occurred_at: datetime
    job_attempt: int
    data: str | None
    url: str
    secret: str | None
    job_type: str
    labels: str | None
    correlation_id: str
    traceparent: str | None


# Each event is read by its whole key: a plain join was seen to read all events of a job and drop all but one.
# A taken row is due again when the claimer's time is up: one that dies leaves it to the others. Of one job a terminal
# event's webhook waits for those of earlier terminal events, so they arrive in order.
TAKE_DUE = """
with due as materialized (
    select d.delivery_id from deliveries d where d.due_at <= now()
      and not (d.kind >= 10 and exists (
          select from deliveries b where b.job_id = d.job_id and b.sequence < d.sequence and b.kind >= 10))
    order by d.due_at limit $1 for update skip locked
),
taken as (
    update deliveries d set token = token + 1, attempt = attempt + 1, due_at = now() + $2 * interval '1 second'
    from due where d.delivery_id >= due.delivery_id and d.delivery_id <= due.delivery_id
    returning d.tenant_id, d.delivery_id, d.token, d.attempt, d.job_id, d.sequence, d.kind
)
select t.tenant_id, t.delivery_id, t.token, t.attempt, t.job_id, t.sequence, t.kind, e.occurred_at, e.attempt,
       e.data, j.callback_url, j.callback_secret, j.type, j.labels, j.correlation_id, j.traceparent
from taken t
cross join lateral (
    select callback_url, callback_secret, type, labels::text, coalesce(correlation_id, job_id::text) as correlation_id,
           traceparent
    from jobs where tenant_id = t.tenant_id and job_id = t.job_id limit 1
) j
cross join lateral (
    select occurred_at, attempt, data::text from events where job_id = t.job_id and sequence = t.sequence limit 1
) e
"""


async def take_due(connection: Connection, *, limit: int, hold_seconds: float) -> list[DueDelivery]:
    """Takes up to `limit` due webhooks for `hold_seconds`, the most overdue first."""
    rows = await connection.fetch(TAKE_DUE, limit, hold_seconds)
    return [DueDelivery(*row)._replace(kind=EventKind(row[6])) for row in rows]


# A row that was taken and not tried: its attempt did not happen.
PUT_BACK_IF_HELD = """
update deliveries d set due_at = now() + $3 * interval '1 second', attempt = d.attempt - 1
from unnest($1::uuid[], $2::int[]) as t (delivery_id, token)
where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token
"""


async def put_back_if_held(connection: Connection, taken: Sequence[DueDelivery], *, seconds: float) -> None:
    """Leaves these for later, untried."""
    tokens = [delivery.token for delivery in taken]
    await connection.execute(PUT_BACK_IF_HELD, [delivery.delivery_id for delivery in taken], tokens, seconds)


class Outcome(IntEnum):
    """How a try ended. Stored numbers."""

    DELIVERED = 1
    TRY_AGAIN = 2
    GIVEN_UP = 3


class Tried(NamedTuple):
    """One try, decided and ready to be recorded. `delay_seconds` counts only for TRY_AGAIN."""

    tenant_id: int
    job_id: UUID
    delivery_id: UUID
    token: int
    sequence: int
    kind: EventKind
    attempt: int
    outcome: Outcome
    duration_ms: int
    status_code: int | None
    error: str | None
    answer: str | None
    delay_seconds: float


# Only who holds the row's token may settle it. The attempt is recorded in any case: it did happen.
SETTLE_IF_HELD = """
with tried as (
    select * from unnest($1::int[], $2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::smallint[], $7::smallint[],
                         $8::smallint[], $9::int[], $10::smallint[], $11::text[], $12::text[], $13::float8[])
        as t (tenant_id, job_id, delivery_id, token, sequence, kind, attempt, outcome, duration_ms, status_code,
              error, answer, delay_seconds)
),
recorded as (
    insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, kind, attempt, outcome, duration_ms,
                                   status_code, error, answer)
    select tenant_id, job_id, delivery_id, sequence, kind, attempt, outcome, duration_ms, status_code, error, answer
    from tried on conflict do nothing
),
settled as (
    delete from deliveries d using tried t
    where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token and t.outcome <> 2
    returning d.delivery_id
),
waiting as (
    update deliveries d set due_at = now() + t.delay_seconds * interval '1 second'
    from tried t
    where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token and t.outcome = 2
    returning d.delivery_id
)
select (select count(*) from settled) + (select count(*) from waiting)
"""


async def settle_if_held(connection: Connection, tried: Sequence[Tried]) -> int:
    """Records these tries. Returns how many were still the caller's to settle."""
    settled: int = await connection.fetchval(SETTLE_IF_HELD, *zip(*tried, strict=True))
    return settled


NEXT_DUE = "select extract(epoch from min(due_at) - now())::float8 from deliveries"


async def seconds_to_next(connection: Connection) -> float | None:
    """How long until the next webhook is due; None where none waits."""
    seconds: float | None = await connection.fetchval(NEXT_DUE)
    return seconds
