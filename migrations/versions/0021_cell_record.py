"""The record of a cell in its own database: its number, and the number of cells of the installation."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

STATEMENTS = (
    # One row, written by `duly migrate`; none: a database that was migrated before, which is the only one.
    """
    create table cell_record (
        number smallint not null,
        count smallint not null,
        installation uuid not null,
        complete boolean not null default false,
        recorded_at timestamptz not null default now(),
        constraint cell_record_pkey primary key (number)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
