"""Ledger (jobs, events), hot tables, nodes, outbox and idempotency keys."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A hot table is emptied as fast as it is filled: vacuum early, without pauses, and never return pages to the file
# system, because truncation takes an exclusive lock that every claim would wait for.
HOT = (
    "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, "
    "autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2, vacuum_truncate = off"
)
TRANSACTION_ID = "bigint not null default (pg_current_xact_id()::text::bigint)"

STATEMENTS = (
    # Submissions. Never updated: each is event 0 of its job.
    f"""
    create table jobs (
        tenant_id integer not null,
        job_id uuid not null,
        created_at timestamptz not null default now(),
        tx {TRANSACTION_ID},
        run_at timestamptz,
        timeout_seconds real not null,
        priority smallint not null,
        max_attempts smallint not null,
        callback_events smallint not null,
        type text not null,
        queue text not null,
        parameters json not null,
        labels jsonb,
        callback_url text,
        callback_secret text,
        correlation_id text,
        traceparent text,
        constraint jobs_pkey primary key (tenant_id, job_id)
    ) partition by range (job_id)
    """,
    "create index jobs_tx on jobs using brin (tx)",
    # Events. `sequence` has no gaps within a job, from 1 on.
    f"""
    create table events (
        job_id uuid not null,
        tenant_id integer not null,
        sequence integer not null,
        occurred_at timestamptz not null default now(),
        tx {TRANSACTION_ID},
        kind smallint not null,
        attempt smallint not null,
        source text not null,
        data json,
        constraint events_pkey primary key (job_id, sequence)
    ) partition by range (job_id)
    """,
    "create index events_tx on events using brin (tx)",
    "create index events_terminal on events (tenant_id, kind, job_id) where kind >= 10",
    # Jobs that may start now. The key is the lane (queue, type, priority) and, within it, age: a claim reads it in
    # order. Everything except the counters is in the row of `jobs`, so the key finds one job too.
    f"""
    create table ready (
        tenant_id integer not null,
        job_id uuid not null,
        token integer not null,
        sequence integer not null,
        timeout_seconds real not null,
        priority smallint not null,
        attempt smallint not null,
        crashes smallint not null,
        callback_events smallint not null,
        queue text not null,
        type text not null,
        constraint ready_pkey primary key (queue, type, priority, job_id)
    ) with ({HOT})
    """,
    # Jobs that wait for a time. Reason 0: first start in the future, 1: next attempt.
    f"""
    create table scheduled (
        tenant_id integer not null,
        job_id uuid not null,
        run_at timestamptz not null,
        token integer not null,
        sequence integer not null,
        timeout_seconds real not null,
        priority smallint not null,
        attempt smallint not null,
        crashes smallint not null,
        callback_events smallint not null,
        reason smallint not null,
        queue text not null,
        type text not null,
        constraint scheduled_pkey primary key (job_id)
    ) with ({HOT})
    """,
    "create index scheduled_due on scheduled (run_at)",
    # One row for each running attempt. Progress updates touch no index, and pages keep room for them.
    f"""
    create table running (
        tenant_id integer not null,
        job_id uuid not null,
        node_id uuid not null,
        started_at timestamptz not null default now(),
        deadline timestamptz not null,
        cancel_requested_at timestamptz,
        progress_told_at timestamptz,
        token integer not null,
        sequence integer not null,
        timeout_seconds real not null,
        progress real,
        priority smallint not null,
        attempt smallint not null,
        crashes smallint not null,
        callback_events smallint not null,
        queue text not null,
        type text not null,
        progress_message text,
        constraint running_pkey primary key (job_id)
    ) with (fillfactor = 70, {HOT})
    """,
    # One row for each process. Its heartbeat is the lease of all its attempts.
    f"""
    create table nodes (
        node_id uuid not null,
        name text not null,
        version text not null,
        roles text[] not null,
        job_types text[] not null,
        started_at timestamptz not null default now(),
        heartbeat_at timestamptz not null default now(),
        draining boolean not null default false,
        constraint nodes_pkey primary key (node_id)
    ) with (fillfactor = 50, {HOT})
    """,
    # Webhooks to send. During an attempt `due_at` is in the future, so that it is due again if its dispatcher dies.
    f"""
    create table deliveries (
        tenant_id integer not null,
        delivery_id uuid not null default gen_random_uuid(),
        job_id uuid not null,
        due_at timestamptz not null default now(),
        created_at timestamptz not null default now(),
        sequence integer not null,
        token integer not null default 0,
        kind smallint not null,
        attempt smallint not null default 0,
        constraint deliveries_pkey primary key (delivery_id)
    ) with (fillfactor = 70, {HOT})
    """,
    "create index deliveries_due on deliveries (due_at)",
    "create index deliveries_of_job on deliveries (job_id, sequence)",
    # Delivery attempts. Outcome 1: delivered, 2: to be retried, 3: abandoned.
    """
    create table delivery_attempts (
        tenant_id integer not null,
        job_id uuid not null,
        delivery_id uuid not null,
        attempted_at timestamptz not null default now(),
        sequence integer not null,
        duration_ms integer not null,
        kind smallint not null,
        attempt smallint not null,
        outcome smallint not null,
        status_code smallint,
        error text,
        answer text,
        constraint delivery_attempts_pkey primary key (job_id, delivery_id, attempt)
    ) partition by range (job_id)
    """,
    """
    create table idempotency (
        tenant_id integer not null,
        key text not null,
        job_id uuid not null,
        created_at timestamptz not null default now(),
        digest bytea not null,
        constraint idempotency_pkey primary key (tenant_id, key)
    )
    """,
    "create index idempotency_age on idempotency using brin (created_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
