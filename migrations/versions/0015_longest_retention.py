"""The longest retention of any tenant, found without reading all tenants."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STATEMENT = "create index tenants_retention on tenants (retention_days) where retention_days is not null"


def upgrade() -> None:
    op.execute(STATEMENT)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
