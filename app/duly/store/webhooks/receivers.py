"""Table `receivers`: state and limits of receivers; disabling of endpoints."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.receiver_breaker import ReceiverBreakerDecision, ReceiverFailures
from duly.domain.webhook_events import MessageKind
from duly.store.postgres.database import Connection


class Receiver(NamedTuple):
    """Receiver of webhooks: an endpoint (`registered`), or the callbacks to one lane of a host."""

    tenant_id: int
    receiver_id: UUID
    registered: bool


# In the order of their ids, so that two nodes cannot deadlock.
INSERT_RECEIVERS = """
insert into receivers (tenant_id, receiver_id, registered)
select * from unnest($1::int[], $2::uuid[], $3::bool[]) as a (tenant_id, receiver_id, registered)
where not registered or exists (
    select from endpoints e where e.tenant_id = a.tenant_id and e.endpoint_id = a.receiver_id
)
order by receiver_id
on conflict do nothing
"""
LOCK_RECEIVERS = """
select receiver_id, failures, failing_since, state <> 0, now() from receivers
where receiver_id = any($1::uuid[]) order by receiver_id for update
"""


async def lock_failures(
    connection: Connection, receivers: Sequence[Receiver]
) -> tuple[dict[UUID, ReceiverFailures | None], datetime | None]:
    """Returns the failures of each of these, None without any, and the database's time. Locks the rows in the caller's
    transaction. A deleted endpoint is not in the result.
    """
    ordered = sorted(receivers, key=lambda receiver: receiver.receiver_id)
    await connection.execute(INSERT_RECEIVERS, *(list(column) for column in zip(*ordered, strict=True)))
    rows = await connection.fetch(LOCK_RECEIVERS, [receiver.receiver_id for receiver in ordered])
    found = {row[0]: ReceiverFailures(row[1], row[2], row[3]) if row[2] is not None else None for row in rows}
    return found, rows[0][4] if rows else None


UPDATE_RECEIVERS = """
update receivers r
set failures = a.failures, failing_since = a.failing_since, state = a.is_open::int, last_error = a.error,
    opened_at = case when a.is_open then coalesce(r.opened_at, now()) end,
    probe_at = case when a.is_open then now() + a.pause_seconds * interval '1 second' end
from unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::bool[], $5::float8[], $6::text[])
    as a (receiver_id, failures, failing_since, is_open, pause_seconds, error)
where r.receiver_id >= a.receiver_id and r.receiver_id <= a.receiver_id
"""


async def record_failures(
    connection: Connection, decisions: Mapping[UUID, tuple[ReceiverBreakerDecision, str | None]]
) -> None:
    """Records the consequences of failures: for each receiver the decision, and its last error."""
    rows = [
        (
            receiver_id,
            decision.state.failures,
            decision.state.failing_since,
            decision.state.is_open,
            decision.pause_seconds,
            error,
        )
        for receiver_id, (decision, error) in decisions.items()
    ]
    await connection.execute(UPDATE_RECEIVERS, *(list(column) for column in zip(*rows, strict=True)))


# The circuit is closed, so that pending deliveries are abandoned at once, with this reason. All other endpoints of the
# tenant get a message, independent of their filters.
DISABLE_ENDPOINT = f"""
with disabled as (
    update endpoints set disabled_at = now(), disabled_reason = $3, updated_at = now()
    where tenant_id = $1 and endpoint_id = $2 and disabled_at is null
    returning tenant_id, endpoint_id
),
closed as (
    update receivers r set failures = 0, failing_since = null, opened_at = null, probe_at = null, state = 0
    from disabled d where r.receiver_id = d.endpoint_id
),
announced as (
    insert into messages (tenant_id, message_id, kind, body)
    select tenant_id, $4, {MessageKind.ENDPOINT_DISABLED:d}, $5 from disabled
),
told as (
    insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
    select e.tenant_id, $4, 0, {MessageKind.ENDPOINT_DISABLED:d}, e.endpoint_id, true
    from endpoints e join disabled d on e.tenant_id = d.tenant_id and e.endpoint_id <> d.endpoint_id
    where e.disabled_at is null
)
select count(*) from disabled
"""


async def disable_endpoint(
    connection: Connection, tenant_id: int, endpoint_id: UUID, *, reason: str, message_id: UUID, body: str
) -> bool:
    """Disables an endpoint, and writes a message to the others of the tenant. Returns False if it was
    disabled before.
    """
    disabled: int = await connection.fetchval(DISABLE_ENDPOINT, tenant_id, endpoint_id, reason, message_id, body)
    return disabled > 0


DELETE_HEALTHY = "delete from receivers where not registered and failures = 0"
# Without deliveries the state would never be updated.
DELETE_IDLE = """
delete from receivers r where not r.registered and r.failing_since < now() - interval '7 days'
  and not exists (select from deliveries d where d.receiver_id = r.receiver_id)
"""


# Failures recorded during the deletion of the endpoint.
DELETE_ORPHANED = """
delete from receivers r where r.registered and not exists (
    select from endpoints e where e.tenant_id = r.tenant_id and e.endpoint_id = r.receiver_id
)
"""


async def delete_idle_receivers(connection: Connection) -> None:
    """Deletes receivers of callbacks without failures or without deliveries for a week, and those of
    deleted endpoints.
    """
    await connection.execute(DELETE_HEALTHY)
    await connection.execute(DELETE_IDLE)
    await connection.execute(DELETE_ORPHANED)


COUNT_OPEN = "select count(*) from receivers where state <> 0"


async def count_open(connection: Connection) -> int:
    """Returns the number of receivers whose circuit is open."""
    count: int = await connection.fetchval(COUNT_OPEN)
    return count
