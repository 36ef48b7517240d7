"""Table `endpoints`: registered endpoints of tenants. The state of their receivers is in `receivers`.

Transactions that lock both lock the receiver first, as the recording of attempts does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from duly.domain.json_writer import dump_text
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection
from duly.store.queue.limits import FlowLimits, Rate

Key = tuple[int, UUID]  # tenant and endpoint
NO_LIMITS = FlowLimits()


@dataclass(frozen=True, slots=True)
class Subscription:
    """Client's configuration of an endpoint. `events` are bits; empty types are all; `headers` are sealed JSON."""

    url: str
    events: int = 0
    types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    headers: str | None = None
    paused: bool = False
    limits: FlowLimits = NO_LIMITS

    @property
    def filtered(self) -> bool:
        """Returns whether it filters by type or labels."""
        return bool(self.types or self.labels)


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets and keys that sign its webhooks, all sealed; previous ones while they still sign."""

    secret: str
    signing_key: str | None
    previous_secret: str | None = None
    previous_signing_key: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiverCircuit:
    """State of its receiver: failures since when, and the time of the next probe while the circuit is open."""

    is_open: bool
    failures: int
    failing_since: datetime | None
    probe_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Endpoint with its state."""

    tenant_id: int
    endpoint_id: UUID
    subscription: Subscription
    keys: Keys
    circuit: ReceiverCircuit
    previous_until: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime


# Serializes registrations, which would otherwise exceed the limit together.
LOCK_TENANT = "select pg_advisory_xact_lock(730580887, $1)"
MAX_ENDPOINTS = "select max_endpoints from tenants where tenant_id = $1"


async def most_endpoints(connection: Connection, tenant_id: int, *, default: int) -> int:
    """Returns the number of endpoints that a tenant may have: `default`, if its row names none."""
    most: int | None = await connection.fetchval(MAX_ENDPOINTS, tenant_id)
    return default if most is None else most


INSERT_ENDPOINT = """
with added as (
    insert into endpoints (tenant_id, endpoint_id, url, events, types, labels, description, headers, secret,
                           signing_key)
    select $1, $2, $3, $4, $5, $6, $7, $8, $13, $14
    where (select count(*) from endpoints where tenant_id = $1) < $15
    returning tenant_id, endpoint_id
)
insert into receivers (tenant_id, receiver_id, registered, paused_at, concurrency, rate_count, rate_seconds, tokens)
select tenant_id, endpoint_id, true, case when $9::bool then now() end, $10, $11, $12, coalesce($11, 0) from added
returning true
"""


async def insert_endpoint(
    connection: Connection, key: Key, subscription: Subscription, keys: Keys, *, most: int
) -> bool:
    """Registers an endpoint in the caller's transaction; returns False if the tenant has reached the limit."""
    await connection.execute(LOCK_TENANT, key[0])
    added = await connection.fetchval(
        INSERT_ENDPOINT, *key, *_columns(subscription), keys.secret, keys.signing_key, most
    )
    return added is not None


# A plain join was observed to read the receivers of all tenants.
_ENDPOINT = """
select e.tenant_id, e.endpoint_id, e.url, e.events, e.types, e.labels::text as labels, e.description, e.headers,
       e.secret, e.signing_key, e.disabled_at, e.disabled_reason, e.created_at, e.updated_at,
       case when e.previous_until > now() then e.previous_secret end as previous_secret,
       case when e.previous_until > now() then e.previous_signing_key end as previous_signing_key,
       case when e.previous_until > now() then e.previous_until end as previous_until,
       r.paused_at is not null as paused, r.concurrency, r.rate_count, r.rate_seconds, r.state <> 0 as is_open,
       r.failures, r.failing_since, case when r.state <> 0 then r.probe_at end as probe_at, r.last_error
from endpoints e cross join lateral (
    select * from receivers where receiver_id = e.endpoint_id and tenant_id = e.tenant_id offset 0
) r
"""
READ_ENDPOINT = _ENDPOINT + "where e.tenant_id = $1 and e.endpoint_id = $2"


async def read_endpoint(connection: Connection, key: Key) -> Endpoint | None:
    """Returns an endpoint; None if the tenant has no such endpoint."""
    row = await connection.fetchrow(READ_ENDPOINT, *key)
    return _endpoint(row) if row is not None else None


TENANT_OF = "select tenant_id from endpoints where endpoint_id = $1 and signing_key is not null"


async def tenant_of_endpoint(connection: Connection, endpoint_id: UUID) -> int | None:
    """Returns the tenant of an endpoint that has public keys, which anyone may read."""
    tenant_id: int | None = await connection.fetchval(TENANT_OF, endpoint_id)
    return tenant_id


HOLD_RECEIVER = "select from receivers where tenant_id = $1 and receiver_id = $2 for update"
HOLD_ENDPOINT = "select from endpoints where tenant_id = $1 and endpoint_id = $2 for update"


async def hold_endpoint(connection: Connection, key: Key) -> Endpoint | None:
    """Returns an endpoint, locked until the caller's transaction ends."""
    await connection.execute(HOLD_RECEIVER, *key)
    await connection.execute(HOLD_ENDPOINT, *key)
    return await read_endpoint(connection, key)


# By the key, in the requested order. There are a thousand at most, so filtering costs little.
LIST_ENDPOINTS = f"""
{_ENDPOINT}
where e.tenant_id = $1 and e.endpoint_id < $2 and ($3 = 0 or e.events & $3 <> 0)
  and ($4::text[] is null or case when e.disabled_at is not null then 'disabled'
                                  when r.paused_at is not null then 'paused' else 'enabled' end = any($4))
order by e.endpoint_id desc limit $5
"""


async def list_endpoints(
    connection: Connection,
    tenant_id: int,
    *,
    before: UUID,
    events: int,
    statuses: Sequence[str] | None,
    limit: int,
) -> list[Endpoint]:
    """Returns a page of this tenant's endpoints, newest first: those with any of `events` (0: all) and of one of these
    statuses.
    """
    rows = await connection.fetch(LIST_ENDPOINTS, tenant_id, before, events, statuses, limit)
    return [_endpoint(row) for row in rows]


# A bucket keeps its tokens, up to its new size: setting equal limits again grants nothing.
UPDATE_ENDPOINT = """
with changed as (
    update endpoints set url = $3, events = $4, types = $5, labels = $6, description = $7, headers = $8,
        signing_key = $13, previous_signing_key = $14, updated_at = now(),
        disabled_at = case when not $15::bool then disabled_at end,
        disabled_reason = case when not $15::bool then disabled_reason end
    where tenant_id = $1 and endpoint_id = $2
)
update receivers r
set paused_at = case when $9::bool then coalesce(r.paused_at, now()) end,
    concurrency = $10, rate_count = $11, rate_seconds = $12, refilled_at = now(),
    tokens = case when $11::int is null then 0 when r.rate_count is null then $11 else least($11, r.rate_count,
        r.tokens + extract(epoch from now() - r.refilled_at)::float8 * r.rate_count / r.rate_seconds) end
where tenant_id = $1 and receiver_id = $2
"""


async def update_endpoint(
    connection: Connection, key: Key, subscription: Subscription, keys: Keys, *, enables: bool
) -> None:
    """Updates an endpoint that the caller's transaction holds, except its secrets. `enables`: it is no
    longer disabled.
    """
    given = (keys.signing_key, keys.previous_signing_key, enables)
    await connection.execute(UPDATE_ENDPOINT, *key, *_columns(subscription), *given)


RESET_FAILURES = """
update receivers set failures = 0, failing_since = null, opened_at = null, probe_at = null, state = 0, last_error = null
where tenant_id = $1 and receiver_id = $2
"""


async def reset_failures(connection: Connection, key: Key) -> None:
    """Resets the state of its receiver."""
    await connection.execute(RESET_FAILURES, *key)


ROTATE_KEYS = """
update endpoints set previous_secret = secret, previous_signing_key = signing_key, secret = $3, signing_key = $4,
    previous_until = now() + $5 * interval '1 second', updated_at = now()
where tenant_id = $1 and endpoint_id = $2
"""


async def rotate_keys(connection: Connection, key: Key, keys: Keys, *, overlap_seconds: float) -> None:
    """Replaces the keys; the previous ones keep signing for `overlap_seconds`."""
    await connection.execute(ROTATE_KEYS, *key, keys.secret, keys.signing_key, overlap_seconds)


# Pending deliveries find no endpoint and are abandoned.
DELETE_ENDPOINT = """
with gone as (delete from receivers where tenant_id = $1 and receiver_id = $2)
delete from endpoints where tenant_id = $1 and endpoint_id = $2
"""


async def delete_endpoint(connection: Connection, key: Key) -> None:
    """Deletes an endpoint that the caller's transaction holds."""
    await connection.execute(DELETE_ENDPOINT, *key)


def _columns(subscription: Subscription) -> tuple[object, ...]:
    rate = subscription.limits.rate
    return (
        subscription.url,
        subscription.events,
        list(subscription.types) or None,
        dump_text(subscription.labels) if subscription.labels else None,
        subscription.description,
        subscription.headers,
        subscription.paused,
        subscription.limits.concurrency,
        rate.count if rate else None,
        rate.seconds if rate else None,
    )


def _endpoint(row: Record) -> Endpoint:
    rate = Rate(row["rate_count"], row["rate_seconds"]) if row["rate_count"] is not None else None
    subscription = Subscription(
        url=row["url"],
        events=row["events"],
        types=tuple(row["types"] or ()),
        labels=orjson.loads(row["labels"] or "{}"),
        description=row["description"],
        headers=row["headers"],
        paused=row["paused"],
        limits=FlowLimits(row["concurrency"], rate),
    )
    return Endpoint(
        tenant_id=row["tenant_id"],
        endpoint_id=row["endpoint_id"],
        subscription=subscription,
        keys=Keys(row["secret"], row["signing_key"], row["previous_secret"], row["previous_signing_key"]),
        circuit=ReceiverCircuit(
            row["is_open"], row["failures"], row["failing_since"], row["probe_at"], row["last_error"]
        ),
        previous_until=row["previous_until"],
        disabled_at=row["disabled_at"],
        disabled_reason=row["disabled_reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
