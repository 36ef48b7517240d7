"""Endpoints of webhooks in several cells.

Their definition is that of cell 0. Failures and circuits are a cell's own; an endpoint that one cell disables is
disabled in all: the later of a change and a disabling wins, by `updated_at` and `disabled_at`.
"""

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection

# An endpoint has a row in each of two tables, which are read and written together.
_DEFINITION = """
tenant_id, endpoint_id, created_at, updated_at, disabled_at, previous_until, events, url, types, labels, description,
headers, secret, previous_secret, signing_key, previous_signing_key, disabled_reason
"""
_LIMITS = "paused, rate_seconds, rate_count, concurrency"
_ENDPOINT = f"""
select {", ".join(f"e.{name.strip()}" for name in _DEFINITION.split(","))},
       r.paused_at is not null as paused, r.rate_seconds, r.rate_count, r.concurrency
from endpoints e join receivers r on r.receiver_id = e.endpoint_id and r.tenant_id = e.tenant_id
"""
READ_DIGEST = f"""
select count(*)::text || ' ' || coalesce(sum(('x' || left(md5(to_jsonb(x)::text), 15))::bit(60)::bigint), 0)::text
from (
    select {", ".join(f"extract(epoch from {name}) as {name}" for name in ("updated_at", "disabled_at"))},
           tenant_id, endpoint_id, url, secret, paused, rate_seconds, rate_count, concurrency
    from ({_ENDPOINT}) d
) x
"""
READ_ENDPOINTS = f"select coalesce(json_agg(d order by tenant_id, endpoint_id), '[]')::text from ({_ENDPOINT}) d"


async def read_endpoints_digest(connection: Connection) -> str:
    """Returns a digest of all endpoints, without what is a cell's own."""
    digest: str = await connection.fetchval(READ_DIGEST)
    return digest


async def read_all_endpoints(connection: Connection) -> str:
    """Returns all endpoints, as JSON."""
    rows: str = await connection.fetchval(READ_ENDPOINTS)
    return rows


_RECORD = """
tenant_id int, endpoint_id uuid, created_at timestamptz, updated_at timestamptz, disabled_at timestamptz,
previous_until timestamptz, events int, url text, types text[], labels jsonb, description text, headers text,
secret text, previous_secret text, signing_key text, previous_signing_key text, disabled_reason text, paused bool,
rate_seconds float8, rate_count int, concurrency int
"""
_CHANGED = [name.strip() for name in _DEFINITION.split(",")][2:]
_DISABLING = ("disabled_at", "disabled_reason")
_SET = ", ".join(
    f"{name} = case when e.disabled_at > excluded.updated_at then e.{name} else excluded.{name} end"
    if name in _DISABLING
    else f"{name} = excluded.{name}"
    for name in _CHANGED
)
_LISTED = ", ".join(_CHANGED)
# Receivers first, as all transactions that lock both.
WRITE_ENDPOINTS = f"""
with source as materialized (select * from json_to_recordset($1::json) as s ({_RECORD})),
gone as (
    delete from endpoints e
    where not exists (select from source s where s.tenant_id = e.tenant_id and s.endpoint_id = e.endpoint_id)
    returning e.tenant_id, e.endpoint_id
),
gone_receivers as (
    delete from receivers r using gone g where r.tenant_id = g.tenant_id and r.receiver_id = g.endpoint_id
),
receivers_put as (
    insert into receivers as r (tenant_id, receiver_id, registered, paused_at, rate_seconds, rate_count, concurrency,
                                tokens)
    select tenant_id, endpoint_id, true, case when paused then now() end, rate_seconds, rate_count, concurrency,
           coalesce(rate_count, 0)
    from source order by endpoint_id
    on conflict (receiver_id) do update set
        paused_at = case when excluded.paused_at is not null then coalesce(r.paused_at, now()) end,
        rate_seconds = excluded.rate_seconds, rate_count = excluded.rate_count, concurrency = excluded.concurrency,
        tokens = case when r.rate_count is null then excluded.tokens else least(r.tokens, excluded.tokens) end
    where r.tenant_id = excluded.tenant_id
      and (r.paused_at is null, r.rate_seconds, r.rate_count, r.concurrency) is distinct from
          (excluded.paused_at is null, excluded.rate_seconds, excluded.rate_count, excluded.concurrency)
    returning 1
),
put as (
    insert into endpoints as e (tenant_id, endpoint_id, {_LISTED})
    select tenant_id, endpoint_id, {_LISTED} from source order by tenant_id, endpoint_id
    on conflict (tenant_id, endpoint_id) do update set {_SET}
    where ({", ".join(f"e.{name}" for name in _CHANGED)})
          is distinct from ({", ".join(f"excluded.{name}" for name in _CHANGED)})
    returning 1
)
select (select count(*) from gone)::int + (select count(*) from receivers_put)::int + (select count(*) from put)::int
"""


async def write_all_endpoints(connection: Connection, endpoints: str) -> int:
    """Makes the endpoints of a cell equal to those of cell 0 (JSON). Returns the number of rows that changed."""
    changed: int = only(await connection.fetchrow(WRITE_ENDPOINTS, endpoints))[0]
    return changed


READ_DISABLED = """
select tenant_id, endpoint_id, disabled_at, disabled_reason from endpoints where disabled_at is not null
order by endpoint_id
"""
DISABLE = """
with disabled as (
    select * from unnest($1::int[], $2::uuid[], $3::timestamptz[], $4::text[])
        as d (tenant_id, endpoint_id, disabled_at, disabled_reason)
),
put as (
    update endpoints e set disabled_at = d.disabled_at, disabled_reason = d.disabled_reason,
        updated_at = d.disabled_at
    from disabled d
    where e.tenant_id = d.tenant_id and e.endpoint_id = d.endpoint_id and e.disabled_at is null
      and e.updated_at < d.disabled_at
    returning e.tenant_id, e.endpoint_id
),
closed as (
    update receivers r set failures = 0, failing_since = null, opened_at = null, probe_at = null, state = 0
    from put p where r.tenant_id = p.tenant_id and r.receiver_id = p.endpoint_id
)
select count(*)::int from put
"""


async def report_disabled(home: Connection, cell: Connection) -> int:
    """Disables in cell 0 the endpoints that another cell has disabled since they were changed last. Returns their
    number.
    """
    rows = await cell.fetch(READ_DISABLED)
    if not rows:
        return 0
    disabled: int = await home.fetchval(DISABLE, *(list(column) for column in zip(*rows, strict=True)))
    return disabled
