"""Grants of stream tickets: one job, a batch, labels, or everything."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    # JSON; null for tickets of the previous release, which are no longer accepted.
    "alter table stream_tickets add column opens json",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
