"""Jobs whose ids have another time than their record; stored parts of first responses; late refusals."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Client-made ids may be a day early or late, and the id of a child has its parent's time. Filters by creation time
    # find these jobs here, and others by their ids. The first condition avoids evaluating the second for other jobs.
    """
    create index jobs_placed on jobs (tenant_id, created_at, job_id)
        where (digest is not null or parent_id is not null)
          and abs(
              extract(epoch from created_at - timestamptz '1970-01-01 00:00:00+00')
              - ('x' || substr(job_id::text, 1, 8) || substr(job_id::text, 10, 4))::bit(48)::bigint / 1000.0
          ) > 240
    """,
    # Parts of a key's first response that the ledger does not have; null if it has all.
    "alter table idempotency add column answer json",
    # Reason why the job that follows a batch, or the last one of a schedule, was refused when it was due.
    "alter table batches add column then_error json",
    "alter table schedules add column last_error json",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
