"""Lanes, limits of starts and circuit breakers, each by tenant."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Nodes of the previous release go on claiming by `ready_pkey`, in which all tenants share their lanes. Names are in
    # another collation, so that no statement can use one of the two indexes in place of the other.
    """
    create index ready_lanes on ready (tenant_id, queue collate "C", type collate "C", priority, job_id)
    """,
    # Claims need the limits of starts (of queues and job types) of all tenants, but not their submission limits.
    "create index limits_of_starts on limits (tenant_id, scope, name) where scope in (1, 2)",
    # The wider key allows all that the narrower one allowed. Nodes of the previous release write for the first tenant.
    "alter table breakers add column tenant_id int not null default 1",
    "alter table breakers drop constraint breakers_pkey",
    "alter table breakers add constraint breakers_pkey primary key (tenant_id, type)",
    "create index breakers_open on breakers (tenant_id, type) where state <> 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
