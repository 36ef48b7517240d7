"""Leases of workers over HTTP, and how their attempts ended."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

HOT = (
    "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, "
    "autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2, vacuum_truncate = off"
)
STATEMENTS = (
    f"""
    create table leases (
        tenant_id integer not null,
        job_id uuid not null,
        expires_at timestamptz not null,
        cancel_told_at timestamptz,
        token integer not null,
        lease_seconds integer not null,
        lines integer not null default 0,
        worker_name text,
        key_id text,
        constraint leases_pkey primary key (job_id)
    ) with (fillfactor = 50, {HOT})
    """,
    # A repeated request gets the response of the first one, so its digest is kept as long as the job.
    """
    create table lease_ends (
        tenant_id integer not null,
        job_id uuid not null,
        token integer not null,
        sequence integer not null,
        kind smallint not null,
        digest bytea not null,
        constraint lease_ends_pkey primary key (job_id, token)
    ) partition by range (job_id)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
