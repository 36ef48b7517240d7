"""Table `delivery_attempts`: results of attempts. Settled deliveries leave the outbox in the same statement."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, LAST_TERMINAL
from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection
from duly.store.postgres.parameter_columns import compact, each_row


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
_SETTLED_ARRAYS = {
    "tenant_id": "$1::int[]",
    "job_id": "$2::uuid[]",
    "delivery_id": "$3::uuid[]",
    "token": "$4::int[]",
    "sequence": "$5::int[]",
    "kind": "$6::smallint[]",
    "attempt": "$7::smallint[]",
    "outcome": "$8::smallint[]",
    "duration_ms": "$9::int[]",
    "status_code": "$10::smallint[]",
    "error": "$11::text[]",
    "answer": "$12::text[]",
    "delay_seconds": "$13::float8[]",
    "receiver_id": "$14::uuid[]",
    "registered": "$15::bool[]",
}
_DIFFERING = frozenset({"job_id", "delivery_id", "duration_ms"})
_SETTLED_VALUES = (name if name in _DIFFERING else each_row(array, name) for name, array in _SETTLED_ARRAYS.items())
SETTLE_IF_HELD = f"""
with tried as (
    select {", ".join(_SETTLED_VALUES)}
    from unnest({", ".join(_SETTLED_ARRAYS.values())}) as t ({", ".join(_SETTLED_ARRAYS)})
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


class SettledCounts(NamedTuple):
    """Number of attempts that were still `held` by the caller; whether deliveries that waited for them are due now;
    whether a failing receiver has succeeded.
    """

    held: int
    frees: bool
    heals: bool


async def settle_if_held(connection: Connection, attempts: Sequence[AttemptResult]) -> SettledCounts:
    """Records these attempts."""
    columns = dict(zip(_SETTLED_ARRAYS, zip(*attempts, strict=True), strict=False))  # later ones are not recorded
    values = [column if name in _DIFFERING else compact(column) for name, column in columns.items()]
    return SettledCounts(*only(await connection.fetchrow(SETTLE_IF_HELD, *values)))


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
