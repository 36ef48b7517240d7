"""Recorded steps and waits of jobs, signals, and jobs that are held once their attempts are exhausted."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Names are kept in the order of bytes: they are looked up, never sorted for people.
    """
    create table steps (
        tenant_id integer not null,
        job_id uuid not null,
        sequence integer not null,
        kind smallint not null,
        status smallint not null,
        name text collate "C" not null,
        until timestamptz,
        compensable boolean not null default false,
        constraint steps_pkey primary key (job_id, kind, name)
    ) partition by range (job_id)
    """,
    """
    create table signals (
        tenant_id integer not null,
        job_id uuid not null,
        sequence integer not null,
        name text collate "C" not null,
        digest bytea not null,
        constraint signals_pkey primary key (job_id, name)
    ) partition by range (job_id)
    """,
    "alter table jobs add column holds boolean",
    "alter table declared_types add column holds boolean not null default false",
    # Jobs that compensate count as running while they wait for an attempt.
    *(
        f"create index {table}_compensating on {table} (tenant_id, job_id) where marks & 1024 <> 0"
        for table in ("ready", "scheduled", "blocked")
    ),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
