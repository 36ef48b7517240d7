"""Redelivery: one delivery by hand, and by the table `replays` all that failed since a time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.ids import smallest_id_at
from duly.domain.webhook_events import FIRST_MESSAGE
from duly.store.ledger.outbox import callback_receiver
from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection
from duly.store.webhooks.delivery_lists import PLANS

# Attempts of a delivery are numbered through all rounds, and shown in one response.
MOST_ATTEMPTS = 500

Key = tuple[int, UUID]  # tenant, and delivery or replay


class ResendRefusal(StrEnum):
    """Reason why a delivery is not sent again."""

    ENDPOINT_DELETED = "ENDPOINT_DELETED"
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
    JOB_DELETED = "JOB_DELETED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"


class ResendResult(NamedTuple):
    """Result of a redelivery: `done`; or a `refusal`; or neither, if an attempt is in progress."""

    done: bool
    refusal: ResendRefusal | None
    in_outbox: bool


# A waiting delivery becomes due at once. Its row shows whether a dispatcher holds it, and is checked again under its
# lock; one that has ended meanwhile is still visible in the outbox, and not changed.
RESEND_DELIVERY = f"""
with standing as materialized (
    select tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered, attempt
    from deliveries where delivery_id = $2 and tenant_id = $1
),
meant as materialized (
    select *, true as stands from standing
    union all
    (
        select tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered, attempt, false
        from delivery_attempts
        where delivery_id = $2 and tenant_id = $1 and outcome <> 2 and not exists (select from standing)
        order by attempt desc limit 1
    )
),
judged as materialized (
    select m.*, {callback_receiver(tenant="m.tenant_id", url="j.callback_url")} as callback_receiver_id,
           case when m.registered and n.endpoint_id is null then 'ENDPOINT_DELETED'
                when n.disabled_at is not null then 'ENDPOINT_DISABLED'
                when j.job_id is null and g.message_id is null then 'JOB_DELETED'
                when m.attempt >= {MOST_ATTEMPTS} then 'ATTEMPTS_EXHAUSTED' end as refusal
    from meant m
    left join lateral (
        select endpoint_id, disabled_at from endpoints
        where tenant_id = m.tenant_id and endpoint_id = m.receiver_id and m.registered offset 0
    ) n on true
    left join lateral (
        select job_id, callback_url from jobs where tenant_id = m.tenant_id and job_id = m.job_id offset 0
    ) j on true
    left join lateral (
        select message_id from messages
        where tenant_id = m.tenant_id and message_id = m.job_id and m.kind >= {FIRST_MESSAGE:d} offset 0
    ) g on true
),
hastened as (
    update deliveries d set due_at = now(), tries_before = d.attempt
    from judged m
    where d.delivery_id >= m.delivery_id and d.delivery_id <= m.delivery_id and d.tenant_id = m.tenant_id
      and m.stands and m.refusal is null and (not d.taken or d.due_at <= now())
    returning 1
),
again as (
    insert into deliveries (tenant_id, delivery_id, job_id, sequence, kind, attempt, tries_before, receiver_id,
                            registered)
    select tenant_id, delivery_id, job_id, sequence, kind, attempt, attempt,
           coalesce(receiver_id, callback_receiver_id), registered
    from judged where not stands and refusal is null
    on conflict do nothing
    returning 1
)
select exists (select from hastened) or exists (select from again), refusal, stands from judged
"""


async def resend(connection: Connection, key: Key) -> ResendResult | None:
    """Sends this delivery again from the beginning of the schedule; None if the tenant has no such delivery. If it was
    neither done nor refused and is not in the outbox, another request has put it there meanwhile.
    """
    row = await connection.fetchrow(RESEND_DELIVERY, *key)
    return (
        ResendResult(row[0], ResendRefusal(row[1]) if row[1] is not None else None, row[2]) if row is not None else None
    )


class Replay(NamedTuple):
    """Progress of a replay: the last delivery that it examined, the number `found`, and their results."""

    tenant_id: int
    replay_id: UUID
    endpoint_id: UUID
    since: datetime
    created_at: datetime
    collected_at: datetime | None
    last_id: UUID | None
    found: int
    delivered: int
    failed: int

    @property
    def waiting(self) -> int:
        """Returns the number of deliveries still to be sent."""
        return self.found - self.delivered - self.failed

    @property
    def status(self) -> str:
        """Returns the status in the API."""
        if self.collected_at is None:
            return "collecting"
        return "sending" if self.waiting > 0 else "completed"


_COLUMNS = ", ".join(Replay._fields)
# A new replay deletes old ones.
INSERT_REPLAY = f"""
with forgotten as (
    delete from replays where tenant_id = $1 and endpoint_id = $3 and collected_at < now() - interval '90 days'
)
insert into replays (tenant_id, replay_id, endpoint_id, since) values ($1, $2, $3, $4) returning {_COLUMNS}
"""


async def insert_replay(connection: Connection, key: Key, endpoint_id: UUID, *, since: datetime) -> Replay:
    """Inserts a replay of an endpoint."""
    return Replay(*only(await connection.fetchrow(INSERT_REPLAY, *key, endpoint_id, since)))


READ_REPLAY = f"select {_COLUMNS} from replays where tenant_id = $1 and replay_id = $2 and endpoint_id = $3"


async def read_replay(connection: Connection, key: Key, endpoint_id: UUID) -> Replay | None:
    """Returns a replay of this endpoint."""
    row = await connection.fetchrow(READ_REPLAY, *key, endpoint_id)
    return Replay(*row) if row is not None else None


LIST_REPLAYS = f"""
select {_COLUMNS} from replays where tenant_id = $1 and endpoint_id = $2 and replay_id < $3
order by replay_id desc limit $4
"""


async def list_replays(
    connection: Connection, tenant_id: int, endpoint_id: UUID, *, before: UUID, limit: int
) -> list[Replay]:
    """Returns a page of this endpoint's replays, newest first."""
    return [Replay(*row) for row in await connection.fetch(LIST_REPLAYS, tenant_id, endpoint_id, before, limit)]


FIND_OPEN_REPLAYS = """
select tenant_id, replay_id from replays where collected_at is null and replay_id <> all($2)
order by replay_id limit $1
"""


async def find_open_replays(connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()) -> list[Key]:
    """Returns replays that are still collecting, except some, oldest first."""
    return [(row[0], row[1]) for row in await connection.fetch(FIND_OPEN_REPLAYS, limit, exclude)]


HOLD_REPLAY = f"""
select {_COLUMNS} from replays
where tenant_id = $1 and replay_id = $2 and collected_at is null for update
"""


async def hold_replay(connection: Connection, key: Key) -> Replay | None:
    """Returns a replay, locked until the end of the caller's transaction, in which `PLANS` is set from now on; None if
    it has finished collecting or another transaction holds it.
    """
    await connection.execute(PLANS)
    row = await connection.fetchrow(HOLD_REPLAY, *key)
    return Replay(*row) if row is not None else None


COUNT_DUE = """
select count(*)::int from (select from deliveries where receiver_id = $1 and due_at <= now() limit $2) d
"""


async def count_due(connection: Connection, receiver_id: UUID, *, most: int) -> int:
    """Returns the number of this receiver's due deliveries, up to `most`."""
    count: int = await connection.fetchval(COUNT_DUE, receiver_id, most)
    return count


# In the order of their creation, and due in that order. (`delivery_lists` explains the bounds of rows.) Deliveries in
# the outbox are in progress; one that ended while this statement ran is still visible there.
COLLECT_FAILED = f"""
with failures as materialized (
    select distinct on (receiver_id, delivery_id) delivery_id, job_id from delivery_attempts
    where registered and outcome = 3 and tenant_id = $1
      and (receiver_id, delivery_id) > ($3, $4::uuid) and (receiver_id, delivery_id) < ($3, $5::uuid)
    order by receiver_id, delivery_id limit $6
),
again as (
    insert into deliveries (tenant_id, delivery_id, job_id, due_at, sequence, kind, attempt, tries_before, receiver_id,
                            registered, replay_id)
    select $1, f.delivery_id, f.job_id, now() + row_number() over (order by f.delivery_id) * interval '1 microsecond',
           l.sequence, l.kind, l.attempt, l.attempt, $3, true, $2
    from failures f cross join lateral (
        select sequence, kind, attempt, outcome from delivery_attempts
        where tenant_id = $1 and job_id = f.job_id and delivery_id = f.delivery_id and outcome <> 2
        order by attempt desc limit 1
    ) l
    where l.outcome = 3 and l.attempt < {MOST_ATTEMPTS}
      and not exists (select from deliveries d where d.delivery_id = f.delivery_id and d.tenant_id = $1)
    order by f.delivery_id
    on conflict do nothing
    returning 1
),
seen as (
    select (select delivery_id from failures order by delivery_id desc limit 1) as last_id,
           (select count(*) from failures) as walked, (select count(*) from again) as added
)
update replays r
set last_id = coalesce(s.last_id, r.last_id), found = r.found + s.added,
    collected_at = case when s.walked < $6 then now() end
from seen s where r.tenant_id = $1 and r.replay_id = $2
returning s.walked, s.added
"""


class Collected(NamedTuple):
    """Number of failed deliveries that were examined, and how many of them were `added` to the outbox."""

    walked: int
    added: int


async def collect(connection: Connection, replay: Replay, *, limit: int) -> Collected:
    """Puts the next failed deliveries into the outbox, in the transaction that holds this replay.

    Failures after the beginning of the replay are excluded: otherwise it would never end for a receiver that keeps
    failing.
    """
    after = replay.last_id or UUID(int=max(smallest_id_at(replay.since).int - 1, 0))
    until = smallest_id_at(replay.created_at + timedelta(milliseconds=1))
    given = (replay.tenant_id, replay.replay_id, replay.endpoint_id, after, until, limit)
    return Collected(*only(await connection.fetchrow(COLLECT_FAILED, *given)))
