"""Job types that workers over HTTP claim from each node."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENT = "alter table nodes add column leased_types text[] not null default '{}'"


def upgrade() -> None:
    op.execute(STATEMENT)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
