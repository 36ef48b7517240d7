"""Schedules that the code of workers declares."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = (
    "alter table schedules add column declared boolean not null default false",
    # The schedules that the code of a process declares.
    "alter table nodes add column schedules text[] not null default '{}'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
