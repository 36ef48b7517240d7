"""Jobs whose ids tell another time than that of their record, and what is kept of first answers and late refusals."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A client may make an id up to a day early or late, and a child's tells its parent's time. Bounds on the creation
    # time find these here, and all others by their ids. The first condition keeps the second from all other jobs.
    """
    create index jobs_placed on jobs (tenant_id, created_at, job_id)
        where (digest is not null or parent_id is not null)
          and abs(
              extract(epoch from created_at - timestamptz '1970-01-01 00:00:00+00')
              - ('x' || substr(job_id::text, 1, 8) || substr(job_id::text, 10, 4))::bit(48)::bigint / 1000.0
          ) > 240
    """,
    # What of a key's first answer the ledger does not tell later; null where it tells all.
    "alter table idempotency add column answer json",
    # Why the job that follows a batch, or the last one that a schedule made, was refused when it was due.
    "alter table batches add column then_error json",
    "alter table schedules add column last_error json",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
