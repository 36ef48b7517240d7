"""Submissions that callers insert in their own transactions, and the database roles that may."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Rows live for milliseconds, as in the hot tables.
SHORT_LIVED = (
    "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, "
    "autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2, vacuum_truncate = off"
)
STATEMENTS = (
    f"""
    create table inbox (
        tenant_id int not null,
        job_id uuid not null,
        called_at timestamptz not null,
        size int not null,
        queue text not null,
        type text not null,
        parameters json not null,
        options json not null,
        constraint inbox_pkey primary key (job_id)
    ) with ({SHORT_LIVED})
    """,
    "create index inbox_lane on inbox (tenant_id, queue, job_id)",
    # Time of the newest hint in milliseconds. Not transactional, so that callers do not wait for each other.
    "create sequence inbox_hints minvalue 0 cache 1",
    """
    create table submitters (
        tenant_id int not null,
        role text not null,
        created_at timestamptz not null default now(),
        constraint submitters_pkey primary key (role, tenant_id)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
