"""Keys, dependencies, batches, limits, schedules, checkpoints and logs."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# As in 0001: vacuum early, without pauses, and keep the pages.
HOT = (
    "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, "
    "autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2, vacuum_truncate = off"
)

STATEMENTS = (
    """
    alter table jobs
        add column expires_at timestamptz,
        add column unique_key text,
        add column concurrency_key text,
        add column depends_on uuid[],
        add column despite_failure boolean,
        add column batch_id uuid,
        add column parent_id uuid,
        add column digest bytea
    """,
    # Lists by type, and by any queue except the default one. The first index is partial, although it has all jobs:
    # otherwise a plan that is made while there are few jobs, and is kept, could use it instead of the key.
    "create index jobs_type on jobs (tenant_id, type, job_id) where type <> ''",
    "create index jobs_queue on jobs (tenant_id, queue, job_id) where queue <> 'default'",
    "create index jobs_labels on jobs using gin (labels jsonb_path_ops) where labels is not null",
    "create index jobs_parent on jobs (parent_id, job_id) where parent_id is not null",
    # `marks`: additional work at the start or end of a job; most jobs have none.
    *(
        f"alter table {table} add column marks smallint not null default 0, add column batch_id uuid"
        for table in ("ready", "scheduled", "running")
    ),
    *(f"alter table {table} add column expires_at timestamptz" for table in ("ready", "scheduled")),
    "create index ready_expires on ready (expires_at) where expires_at is not null",
    "create index scheduled_expires on scheduled (expires_at) where expires_at is not null",
    # Jobs started under a limit of their queue (mark 32) or type (64) are counted; other jobs have no entry.
    "create index running_limited_queue on running (tenant_id, queue) where marks & 32 <> 0",
    "create index running_limited_type on running (tenant_id, type) where marks & 64 <> 0",
    # Jobs that wait for others. Reason 2: dependencies, 3: concurrency key.
    f"""
    create table blocked (
        tenant_id integer not null,
        job_id uuid not null,
        run_at timestamptz,
        expires_at timestamptz,
        batch_id uuid,
        waits_for integer not null,
        token integer not null,
        sequence integer not null,
        timeout_seconds real not null,
        priority smallint not null,
        attempt smallint not null,
        crashes smallint not null,
        callback_events smallint not null,
        marks smallint not null,
        reason smallint not null,
        queue text not null,
        type text not null,
        concurrency_key text,
        constraint blocked_pkey primary key (job_id)
    ) with (fillfactor = 80, {HOT})
    """,
    "create index blocked_key on blocked (tenant_id, concurrency_key, job_id) where reason = 3",
    "create index blocked_expires on blocked (expires_at) where expires_at is not null",
    # Dependencies. A row is deleted when the dependency has ended.
    f"""
    create table dependencies (
        tenant_id integer not null,
        parent_id uuid not null,
        child_id uuid not null,
        constraint dependencies_pkey primary key (parent_id, child_id)
    ) with ({HOT})
    """,
    "create index dependencies_child on dependencies (child_id)",
    # Holder of each concurrency key, from before it is ready until it has ended.
    f"""
    create table concurrency (
        tenant_id integer not null,
        key text not null,
        job_id uuid not null,
        constraint concurrency_pkey primary key (tenant_id, key)
    ) with (fillfactor = 70, {HOT})
    """,
    "create unique index concurrency_job on concurrency (job_id)",
    # Unfinished job of each type and unique key.
    f"""
    create table unique_keys (
        tenant_id integer not null,
        type text not null,
        key text not null,
        job_id uuid not null,
        constraint unique_keys_pkey primary key (tenant_id, type, key)
    ) with (fillfactor = 70, {HOT})
    """,
    "create unique index unique_keys_job on unique_keys (job_id)",
    # Ends of marked jobs with pending follow-ups.
    f"""
    create table endings (
        tenant_id integer not null,
        job_id uuid not null,
        sequence integer not null,
        kind smallint not null,
        marks smallint not null,
        constraint endings_pkey primary key (job_id, sequence)
    ) with ({HOT})
    """,
    """
    create table batches (
        tenant_id integer not null,
        batch_id uuid not null,
        name text,
        first_id uuid not null,
        last_id uuid not null,
        total integer not null,
        completed integer not null default 0,
        failed integer not null default 0,
        cancelled integer not null default 0,
        then_job_id uuid,
        then_job json,
        created_at timestamptz not null default now(),
        completed_at timestamptz,
        constraint batches_pkey primary key (tenant_id, batch_id)
    ) with (fillfactor = 80)
    """,
    # Counts by finish statements, to be added to their batch.
    f"""
    create table batch_tallies (
        tenant_id integer not null,
        tally_id uuid not null default gen_random_uuid(),
        batch_id uuid not null,
        completed integer not null,
        failed integer not null,
        cancelled integer not null,
        constraint batch_tallies_pkey primary key (tally_id)
    ) with ({HOT})
    """,
    "create index batch_tallies_batch on batch_tallies (batch_id)",
    # One row. The version rises with every change of claim restrictions; a claim with an older one takes nothing.
    """
    create table control (
        id smallint not null,
        version bigint not null,
        constraint control_pkey primary key (id)
    ) with (fillfactor = 10)
    """,
    "insert into control (id, version) values (1, 1)",
    """
    create table queues (
        tenant_id integer not null,
        queue text not null,
        paused_at timestamptz,
        constraint queues_pkey primary key (tenant_id, queue)
    )
    """,
    # Limits of a queue (scope 1) or a job type (2): concurrency and start rate. Of a queue: backlog. Of a tenant (0):
    # submission rate.
    """
    create table limits (
        tenant_id integer not null,
        scope smallint not null,
        name text not null,
        concurrency integer,
        rate_count integer,
        rate_seconds double precision,
        backlog integer,
        tokens double precision not null default 0,
        refilled_at timestamptz not null default now(),
        constraint limits_pkey primary key (tenant_id, scope, name)
    ) with (fillfactor = 50)
    """,
    # Circuit of a job type. State 0: closed, with counted failures, 1: open, 2: half-open, with a probe.
    """
    create table breakers (
        type text not null,
        state smallint not null,
        failures integer not null,
        code text not null,
        opened_at timestamptz,
        probe_at timestamptz,
        probe_id uuid,
        constraint breakers_pkey primary key (type)
    ) with (fillfactor = 50)
    """,
    """
    create table schedules (
        tenant_id integer not null,
        name text not null,
        cron text not null,
        timezone text not null,
        submission json not null,
        overlap smallint not null,
        catch_up smallint not null,
        paused boolean not null,
        next_run_at timestamptz,
        last_run_at timestamptz,
        last_job_id uuid,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        constraint schedules_pkey primary key (tenant_id, name)
    ) with (fillfactor = 70)
    """,
    "create index schedules_due on schedules (next_run_at) where not paused",
    # Makes a due time of a schedule run once, on any node.
    """
    create table schedule_runs (
        tenant_id integer not null,
        name text not null,
        due_at timestamptz not null,
        job_id uuid,
        constraint schedule_runs_pkey primary key (tenant_id, name, due_at)
    )
    """,
    # Checkpoint of a handler for its next attempt.
    """
    create table checkpoints (
        tenant_id integer not null,
        job_id uuid not null,
        token integer not null,
        recorded_at timestamptz not null default now(),
        value json not null,
        constraint checkpoints_pkey primary key (job_id)
    ) with (fillfactor = 70)
    """,
    """
    create table job_logs (
        tenant_id integer not null,
        job_id uuid not null,
        token integer not null,
        line integer not null,
        attempt smallint not null,
        level smallint not null,
        logged_at timestamptz not null,
        message text not null,
        fields json,
        constraint job_logs_pkey primary key (job_id, token, line)
    ) partition by range (job_id)
    """,
    "alter table nodes add column rates json",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
