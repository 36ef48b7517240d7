"""Table `delivery_attempts`: results of attempts. Settled deliveries leave the outbox in the same statement."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, LAST_TERMINAL
from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection


class DeliveryOutcome(IntEnum):
    """Outcome of an attempt. Stored numbers."""

    DELIVERED = 1
    TRY_AGAIN = 2
    GIVEN_UP = 3


class AttemptResult(NamedTuple):
    """Result of an attempt, ready to be recorded. `delay_seconds` applies to TRY_AGAIN only.

    `fails`: evidence of a failing receiver. `disables`: reason to disable the endpoint. `cut`: the response was longer
    than the limit.
    """

    tenant_id: int
    job_id: UUID
    delivery_id: UUID
    token: int
    sequence: int
    kind: int
    attempt: int
    outcome: DeliveryOutcome
    duration_ms: int
    status_code: int | None
    error: str | None
    answer: str | None
    delay_seconds: float
    receiver_id: UUID
    registered: bool
    fails: bool = False
    disables: str | None = None
    cut: bool = False


_TERMINAL = f"between {FIRST_TERMINAL:d} and {LAST_TERMINAL:d}"
# Only the holder of the row's token may settle it. The attempt is recorded in any case, since it happened. A success
# resets the failures of its receiver, and deliveries behind the webhook of a terminal event become due: they are found
# by their job, so receiver and time are compared in a form that no index supports.
SETTLE_IF_HELD = f"""
with tried as (
    select * from unnest($1::int[], $2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::smallint[], $7::smallint[],
                         $8::smallint[], $9::int[], $10::smallint[], $11::text[], $12::text[], $13::float8[],
                         $14::uuid[], $15::bool[])
        as t (tenant_id, job_id, delivery_id, token, sequence, kind, attempt, outcome, duration_ms, status_code,
              error, answer, delay_seconds, receiver_id, registered)
),
recorded as (
    insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, kind, attempt, outcome, duration_ms,
                                   status_code, error, answer, receiver_id, registered)
    select tenant_id, job_id, delivery_id, sequence, kind, attempt, outcome, duration_ms, status_code, error, answer,
           receiver_id, registered
    from tried on conflict do nothing
),
settled as (
    delete from deliveries d using tried t
    where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token and t.outcome <> 2
    returning d.tenant_id, d.job_id, d.sequence, d.kind, d.receiver_id, d.registered, d.replay_id, t.outcome
),
waiting as (
    update deliveries d set due_at = now() + t.delay_seconds * interval '1 second', taken = false
    from tried t
    where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token and t.outcome = 2
    returning d.delivery_id
),
followed as (
    update deliveries d set due_at = now()
    from settled s
    where d.job_id >= s.job_id and d.job_id <= s.job_id and d.sequence > s.sequence
      and d.registered = s.registered and (not s.registered or d.receiver_id = s.receiver_id)
      and d.kind {_TERMINAL} and s.kind {_TERMINAL} and not d.taken
      and d.attempt = d.tries_before
    returning d.delivery_id
),
replayed as (
    update replays r set delivered = r.delivered + c.delivered, failed = r.failed + c.failed
    from (
        select tenant_id, replay_id, count(*) filter (where outcome = 1) as delivered,
               count(*) filter (where outcome = 3) as failed
        from settled where replay_id is not null group by tenant_id, replay_id
    ) c
    where r.tenant_id = any(array[c.tenant_id]) and r.replay_id >= c.replay_id and r.replay_id <= c.replay_id
),
healed as (
    update receivers r set failures = 0, failing_since = null, opened_at = null, probe_at = null, state = 0,
                           last_error = null
    from (select distinct receiver_id from tried where outcome = 1) s
    where r.receiver_id >= s.receiver_id and r.receiver_id <= s.receiver_id and r.failures > 0
    returning 1
)
select (select count(*) from settled) + (select count(*) from waiting), (select count(*) from followed) > 0,
       (select count(*) from healed) > 0
"""
_STORED = 15  # of an AttemptResult; later ones are not recorded


class SettledCounts(NamedTuple):
    """Number of attempts that were still `held` by the caller; whether deliveries that waited for them are due now;
    whether a failing receiver has succeeded.
    """

    held: int
    frees: bool
    heals: bool


async def settle_if_held(connection: Connection, attempts: Sequence[AttemptResult]) -> SettledCounts:
    """Records these attempts."""
    columns = list(zip(*attempts, strict=True))[:_STORED]
    return SettledCounts(*only(await connection.fetchrow(SETTLE_IF_HELD, *columns)))


# A delivery whose attempts cannot be recorded would be sent again each time its hold expires.
PUT_OFF_IF_HELD = """
update deliveries d set due_at = now() + t.seconds * interval '1 second', taken = false
from unnest($1::uuid[], $2::int[], $3::float8[]) as t (delivery_id, token, seconds)
where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token
"""


async def put_off_if_held(connection: Connection, attempts: Sequence[AttemptResult], seconds: Sequence[float]) -> None:
    """Delays these deliveries by these times."""
    tokens = [one.token for one in attempts]
    await connection.execute(PUT_OFF_IF_HELD, [one.delivery_id for one in attempts], tokens, seconds)
