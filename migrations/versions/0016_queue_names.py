"""Names of the queues that each tenant uses, and a limit on their number."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table queue_names (
        tenant_id integer not null,
        queue text not null,
        used_at timestamptz not null default now(),
        constraint queue_names_pkey primary key (tenant_id, queue)
    )
    """,
    "alter table tenants add column max_queues int",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
