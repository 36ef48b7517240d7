"""Endpoints: webhooks of a tenant, state of receivers, and messages."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# UUIDv7 (RFC 9562), because lists of deliveries are in the order of ids. PostgreSQL has a function for it since 18.
TIMED_ID = """
encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
    substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1),
    'hex')::uuid
"""

STATEMENTS = (
    # Secrets, keys and headers are sealed, so a dump does not reveal them.
    """
    create table endpoints (
        tenant_id integer not null,
        endpoint_id uuid not null,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        disabled_at timestamptz,
        previous_until timestamptz,
        events integer not null,
        url text not null,
        types text[],
        labels jsonb,
        description text,
        headers text,
        secret text not null,
        previous_secret text,
        signing_key text,
        previous_signing_key text,
        disabled_reason text,
        constraint endpoints_pkey primary key (tenant_id, endpoint_id)
    )
    """,
    # Receivers: each endpoint has a row, the host of a callback only while it fails. Deliveries to receivers that are
    # paused, under a limit or have an open circuit are taken by a separate statement, under the lock of this row.
    """
    create table receivers (
        tenant_id integer not null,
        receiver_id uuid not null,
        registered boolean not null,
        paused_at timestamptz,
        failing_since timestamptz,
        opened_at timestamptz,
        probe_at timestamptz,
        refilled_at timestamptz not null default now(),
        tokens double precision not null default 0,
        rate_seconds double precision,
        rate_count integer,
        concurrency integer,
        failures integer not null default 0,
        state smallint not null default 0,
        last_error text,
        constraint receivers_pkey primary key (receiver_id)
    ) with (fillfactor = 50)
    """,
    """
    create index receivers_gated on receivers (receiver_id)
        where paused_at is not null or state <> 0 or concurrency is not null or rate_count is not null
    """,
    # Webhooks that report no event of a job; the body as sent.
    """
    create table messages (
        tenant_id integer not null,
        message_id uuid not null,
        created_at timestamptz not null default now(),
        kind smallint not null,
        body text not null,
        constraint messages_pkey primary key (tenant_id, message_id)
    ) partition by range (message_id)
    """,
    """
    create table replays (
        tenant_id integer not null,
        replay_id uuid not null,
        endpoint_id uuid not null,
        since timestamptz not null,
        created_at timestamptz not null default now(),
        collected_at timestamptz,
        last_id uuid,
        found integer not null default 0,
        delivered integer not null default 0,
        failed integer not null default 0,
        constraint replays_pkey primary key (tenant_id, replay_id)
    )
    """,
    "create index replays_endpoint on replays (tenant_id, endpoint_id, replay_id)",
    "create index replays_open on replays (replay_id) where collected_at is null",
    """
    create table secret_keys (
        key_id text not null,
        proof text not null,
        created_at timestamptz not null default now(),
        constraint secret_keys_pkey primary key (key_id)
    )
    """,
    # `tries_before`: number of attempts before a redelivery.
    f"""
    alter table deliveries
        alter column delivery_id set default {TIMED_ID},
        add column receiver_id uuid,
        add column replay_id uuid,
        add column tries_before smallint not null default 0,
        add column registered boolean not null default false,
        add column taken boolean not null default false
    """,
    """
    update deliveries d set receiver_id = md5(
        d.tenant_id || ' ' || lower(substring(j.callback_url from '^[^:]+://[^/?#]+'))
    )::uuid
    from jobs j where j.tenant_id = d.tenant_id and j.job_id = d.job_id
    """,
    "delete from deliveries where receiver_id is null",
    "alter table deliveries alter column receiver_id set not null",
    "drop index deliveries_due",
    # One lane for each receiver, so that a failing one does not delay others.
    "create index deliveries_lane on deliveries (receiver_id, due_at)",
    "create index deliveries_listed on deliveries (receiver_id, delivery_id) where registered",
    """
    alter table delivery_attempts
        add column receiver_id uuid,
        add column registered boolean not null default false
    """,
    # Last attempt of each delivery, by its id and for the lists of an endpoint.
    "create index delivery_attempts_last on delivery_attempts (delivery_id) where outcome <> 2",
    """
    create index delivery_attempts_listed on delivery_attempts (receiver_id, delivery_id)
        where registered and outcome <> 2
    """,
    # Failed deliveries, for replays and lists.
    """
    create index delivery_attempts_failed on delivery_attempts (receiver_id, delivery_id)
        where registered and outcome = 3
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
