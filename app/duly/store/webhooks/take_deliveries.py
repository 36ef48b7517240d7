"""Table `deliveries`, the outbox: takes due webhooks.

The outbox has a lane for each receiver. A blocked lane costs a look at its first row, independent of its length, so a
receiver that accepts nothing delays no other one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, LAST_TERMINAL
from duly.domain.webhook_events import FIRST_MESSAGE
from duly.store.postgres.database import Connection


class DueDelivery(NamedTuple):
    """Webhook to send now, with everything that its body and headers are made of. Secrets, keys and
    headers are sealed.

    `tries_before`: number of attempts before it was redelivered. It reports an event of a job, or a message (then
    `message` is its body). `url` is None without a receiver: the endpoint was deleted or disabled, and `refusal` is the
    reason. `submitted_at` is the time of the job's submission or, where later, its `runAt`.
    """

    tenant_id: int
    delivery_id: UUID
    token: int
    attempt: int
    tries_before: int
    job_id: UUID
    sequence: int
    kind: int
    receiver_id: UUID
    registered: bool
    replay_id: UUID | None
    occurred_at: datetime | None
    job_attempt: int | None
    data: str | None
    job_type: str | None
    labels: str | None
    correlation_id: str | None
    traceparent: str | None
    url: str | None
    secret: str | None
    previous_secret: str | None
    signing_key: str | None
    previous_signing_key: str | None
    headers: str | None
    refusal: str | None
    message: str | None
    queue: str | None = None
    submitted_at: datetime | None = None


# Loose index scan: one descent for each receiver with deliveries, to its earliest.
_LANES = """
lane as (
    (select receiver_id, due_at from deliveries where receiver_id > {after} order by receiver_id, due_at limit 1)
    union all
    select n.* from lane l cross join lateral (
        select receiver_id, due_at from deliveries where receiver_id > l.receiver_id
        order by receiver_id, due_at limit 1
    ) n
)
"""
GATED = "(paused_at is not null or state <> 0 or concurrency is not null or rate_count is not null)"

# Due deliveries of a lane. The webhook of a terminal event waits for those of earlier terminal events of its job to the
# same receiver, so that they arrive in order: it is put behind them, and is due when they are settled. Behind one in
# progress it is examined again soon, because that one may be settled at this moment. All callbacks of a job go to one
# URL, even if an earlier release used different lanes. (The receiver is compared in a form that no index supports, so
# that the rows of the job are read and not the lane.)
_TERMINAL = f"between {FIRST_TERMINAL:d} and {LAST_TERMINAL:d}"
_DUE = f"""
due as materialized (
    select d.* from {{lanes}} o cross join lateral (
        select delivery_id, job_id, receiver_id, registered, sequence, kind from deliveries
        where receiver_id = o.receiver_id and due_at <= now()
        order by due_at limit o.room for update skip locked
    ) d limit $1
),
placed as materialized (
    select d.delivery_id, case when d.kind {_TERMINAL} then (
        select max(case when b.taken and b.due_at > now() then now() else b.due_at end) from deliveries b
        where b.job_id = d.job_id and b.sequence < d.sequence and b.kind {_TERMINAL}
          and b.registered = d.registered and (not d.registered or b.receiver_id = d.receiver_id)
    ) end as behind
    from due d
),
put_behind as (
    update deliveries d set due_at = greatest(p.behind, now()) + interval '1 second'
    from placed p where d.delivery_id >= p.delivery_id and d.delivery_id <= p.delivery_id and p.behind is not null
),
taken as (
    update deliveries d
    set token = token + 1, attempt = attempt + 1, taken = true, due_at = now() + $2 * interval '1 second'
    from placed p where d.delivery_id >= p.delivery_id and d.delivery_id <= p.delivery_id and p.behind is null
    returning d.*
)
"""
# Each event is read by its whole key: a plain join was observed to read all events of the job. Nothing before
# `since` is read, so that an execution does not open the partitions of all days, which took half of its time.
_FACTS = f"""
select t.tenant_id, t.delivery_id, t.token, t.attempt, t.tries_before, t.job_id, t.sequence, t.kind, t.receiver_id,
       t.registered, t.replay_id, coalesce(e.occurred_at, m.created_at), e.attempt, e.data, j.type, j.labels,
       j.correlation_id, j.traceparent,
       case when t.registered then n.url else j.callback_url end,
       case when t.registered then n.secret else j.callback_secret end,
       n.previous_secret, n.signing_key, n.previous_signing_key, n.headers,
       case when t.registered and n.endpoint_id is null then 'ENDPOINT_DELETED' when n.disabled then 'ENDPOINT_DISABLED'
            when j.job_id is null and m.body is null then 'JOB_DELETED' end,
       m.body, j.queue, j.submitted_at
from {{taken}} t
left join lateral (
    select job_id, callback_url, callback_secret, type, labels::text,
           coalesce(correlation_id, job_id::text) as correlation_id, traceparent, queue,
           greatest(created_at, run_at) as submitted_at
    from jobs where tenant_id = t.tenant_id and job_id = t.job_id and job_id >= {{since}} limit 1
) j on true
left join lateral (
    select occurred_at, attempt, data::text from events
    where job_id = t.job_id and job_id >= {{since}} and sequence = t.sequence limit 1
) e on true
left join lateral (
    select endpoint_id, url, secret, signing_key, headers, disabled_at is not null as disabled,
           case when previous_until > now() then previous_secret end as previous_secret,
           case when previous_until > now() then previous_signing_key end as previous_signing_key
    from endpoints where tenant_id = t.tenant_id and endpoint_id = t.receiver_id and t.registered limit 1
) n on true
left join lateral (
    select body, created_at from messages
    where tenant_id = t.tenant_id and message_id = t.job_id and message_id >= {{since}} and t.kind >= {FIRST_MESSAGE:d}
    limit 1
) m on true
"""
# A taken row is due again when its hold expires, so that other nodes take over from one that died. Disabled endpoints
# are not held back: their deliveries are abandoned.
TAKE_DUE = f"""
with recursive {_LANES.format(after="$3")},
open as (
    select l.receiver_id, coalesce(k.room, $6) as room
    from lane l left join unnest($4::uuid[], $5::int[]) as k (receiver_id, room) on k.receiver_id = l.receiver_id
    where l.due_at <= now() and coalesce(k.room, $6) > 0
      and not exists (
          select from receivers r where r.receiver_id = l.receiver_id and {GATED} and not exists (
              select from endpoints where tenant_id = r.tenant_id and endpoint_id = r.receiver_id
                and disabled_at is not null
          )
      )
),
{_DUE.format(lanes="open")}
{_FACTS.format(taken="taken", since="$7")}
"""


class Rooms(NamedTuple):
    """Number of further deliveries allowed for each receiver: those in `known`, and each of the `others`."""

    known: Mapping[UUID, int]
    others: int


async def take_due(
    connection: Connection, *, limit: int, hold_seconds: float, rooms: Rooms, after: UUID, since: UUID
) -> list[DueDelivery]:
    """Takes up to `limit` due webhooks for `hold_seconds`: of each receiver the most overdue first, beginning with the
    receivers after `after`. Those of jobs before `since` take a second statement.
    """
    known, room = list(rooms.known), list(rooms.known.values())
    rows = await connection.fetch(TAKE_DUE, limit, hold_seconds, after, known, room, rooms.others, since)
    return await _with_facts_of_earlier_jobs(connection, [DueDelivery(*row) for row in rows], since)


# Receivers that are held back: the lock of the receiver's row serializes the decision. If the row was written since
# this statement began, its counts are outdated, and the receiver is skipped until the next round.
TAKE_GATED = f"""
with seen as materialized (
    select r.receiver_id, r.xmin as written, r.state, b.tokens,
           case when r.state <> 0 then 1 else least(
               coalesce(k.room, $5), floor(b.tokens)::int, r.concurrency - (
                   select count(*)::int from deliveries d
                   where d.receiver_id = r.receiver_id and d.due_at > now()
                     and d.due_at <= now() + 2 * $2 * interval '1 second' and d.taken
               )
           ) end as room
    from receivers r cross join lateral (
        select case when r.rate_count is not null then least(
            r.rate_count, r.tokens + extract(epoch from now() - r.refilled_at) * r.rate_count / r.rate_seconds
        ) end as tokens
    ) b left join unnest($3::uuid[], $4::int[]) as k (receiver_id, room) on k.receiver_id = r.receiver_id
    where {GATED} and r.paused_at is null and (r.state = 0 or r.probe_at <= now())
      and exists (select from deliveries d where d.receiver_id = r.receiver_id and d.due_at <= now() offset 0)
),
gate as materialized (
    select s.* from seen s cross join lateral (
        select xmin as written from receivers where receiver_id = s.receiver_id and s.room > 0 for update skip locked
    ) h where h.written = s.written
),
{_DUE.format(lanes="gate")},
spent as (
    update receivers r
    set refilled_at = now(), tokens = coalesce(g.tokens - g.taken, r.tokens),
        probe_at = case when r.state <> 0 and g.taken > 0 then now() + $2 * interval '1 second' else r.probe_at end
    from (
        select g.receiver_id, g.tokens, (select count(*) from taken t where t.receiver_id = g.receiver_id) as taken
        from gate g
    ) g
    where r.receiver_id >= g.receiver_id and r.receiver_id <= g.receiver_id
)
{_FACTS.format(taken="taken", since="$6")}
"""


async def take_gated(
    connection: Connection, *, limit: int, hold_seconds: float, rooms: Rooms, since: UUID
) -> list[DueDelivery]:
    """Takes webhooks as `take_due`, for receivers that are held back: one at a time if the circuit is open, otherwise
    as many as their limits allow.
    """
    known, room = list(rooms.known), list(rooms.known.values())
    rows = await connection.fetch(TAKE_GATED, limit, hold_seconds, known, room, rooms.others, since)
    return await _with_facts_of_earlier_jobs(connection, [DueDelivery(*row) for row in rows], since)


READ_TAKEN = f"""
with taken as (
    select d.* from unnest($1::uuid[], $2::int[]) as a (delivery_id, token) cross join lateral (
        select * from deliveries where delivery_id = a.delivery_id and token = a.token offset 0
    ) d
)
{_FACTS.format(taken="taken", since="$3")}
"""


async def _with_facts_of_earlier_jobs(connection: Connection, due: list[DueDelivery], since: UUID) -> list[DueDelivery]:
    """Returns taken deliveries with the facts of jobs before `since`, which were not read with them; without those that
    another transaction deleted meanwhile.
    """
    of_earlier = [delivery for delivery in due if delivery.job_id < since]
    if not of_earlier:
        return due
    ids, tokens = [delivery.delivery_id for delivery in of_earlier], [delivery.token for delivery in of_earlier]
    rows = await connection.fetch(READ_TAKEN, ids, tokens, min(delivery.job_id for delivery in of_earlier))
    facts = {delivery.delivery_id: delivery for delivery in (DueDelivery(*row) for row in rows)}
    return [
        facts.get(delivery.delivery_id, delivery)
        for delivery in due
        if delivery.job_id >= since or delivery.delivery_id in facts
    ]


HAS_GATED = f"select exists (select from receivers where {GATED})"


async def has_gated(connection: Connection) -> bool:
    """Returns whether any receiver is held back."""
    found: bool = await connection.fetchval(HAS_GATED)
    return found


# The attempt of a row that was taken and not tried does not count.
PUT_BACK_IF_HELD = """
update deliveries d set due_at = now() + $3 * interval '1 second', attempt = d.attempt - 1, taken = false
from unnest($1::uuid[], $2::int[]) as t (delivery_id, token)
where d.delivery_id >= t.delivery_id and d.delivery_id <= t.delivery_id and d.token = t.token
"""


async def put_back_if_held(connection: Connection, taken: Sequence[DueDelivery], *, seconds: float) -> None:
    """Puts deliveries back, untried, for later."""
    tokens = [delivery.token for delivery in taken]
    await connection.execute(PUT_BACK_IF_HELD, [delivery.delivery_id for delivery in taken], tokens, seconds)


# Lanes that are full on this node are examined when there is room, lanes under a limit periodically.
READ_NEXT_DUE = f"""
with recursive {_LANES.format(after="'00000000-0000-0000-0000-000000000000'::uuid")}
select extract(epoch from min(
    case when r.receiver_id is null then l.due_at
         when r.paused_at is not null then null
         when r.state <> 0 then greatest(l.due_at, r.probe_at)
         else greatest(l.due_at, now() + interval '50 milliseconds') end
) - now())::float8
from lane l left join lateral (
    select * from receivers where receiver_id = l.receiver_id and {GATED} offset 0
) r on true
"""


async def seconds_to_next(connection: Connection) -> float | None:
    """Returns the seconds until the next webhook may be sent; None if none waits."""
    seconds: float | None = await connection.fetchval(READ_NEXT_DUE)
    return seconds
