"""Figures of each minute that the service keeps itself, and the slots of nodes."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

STATEMENTS = (
    # The rows of the current minute are updated several times, in the free part of their page.
    """
    create table minute_figures (
        tenant_id integer not null,
        queue text collate "C" not null,
        minute timestamptz not null,
        submitted integer not null default 0,
        started integer not null default 0,
        completed integer not null default 0,
        failed integer not null default 0,
        cancelled integer not null default 0,
        retried integer not null default 0,
        delivered integer not null default 0,
        undelivered integer not null default 0,
        waited integer not null default 0,
        wait_seconds double precision not null default 0,
        waits integer[] not null default '{}',
        ran integer not null default 0,
        run_seconds double precision not null default 0,
        runs integer[] not null default '{}',
        ready integer not null default 0,
        scheduled integer not null default 0,
        blocked integer not null default 0,
        running integer not null default 0,
        oldest_seconds double precision not null default 0,
        constraint minute_figures_pkey primary key (tenant_id, queue, minute)
    ) with (fillfactor = 80)
    """,
    "alter table nodes add column slots integer not null default 0",
    "alter table nodes add column busy_slots integer not null default 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
