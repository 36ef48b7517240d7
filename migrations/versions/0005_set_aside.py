"""Table of rejected records of jobs, and support for two releases on one database during an upgrade."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table set_aside (
        tenant_id integer not null,
        job_id uuid not null,
        stage text not null,
        token integer not null,
        node_id uuid,
        reason text not null,
        tries integer not null default 1,
        since timestamptz not null default now(),
        noted_at timestamptz not null default now(),
        constraint set_aside_pkey primary key (job_id, stage)
    )
    """,
    # Nodes of the release before 0004 write deliveries without a receiver until they are replaced; each of these has a
    # lane of its own.
    "alter table deliveries alter column receiver_id set default gen_random_uuid()",
    # Revisions that remove something that older releases need. A release can use a newer database if it knows all of
    # these.
    """
    create table contractions (
        revision text not null,
        constraint contractions_pkey primary key (revision)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
