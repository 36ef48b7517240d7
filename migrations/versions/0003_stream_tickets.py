"""Tickets with which a browser opens a stream, since it cannot send an API key there."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Only digests, so that this table opens no stream.
    """
    create table stream_tickets (
        digest bytea not null,
        tenant_id integer not null,
        expires_at timestamptz not null,
        constraint stream_tickets_pkey primary key (digest)
    )
    """,
    "create index stream_tickets_expires on stream_tickets (expires_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
