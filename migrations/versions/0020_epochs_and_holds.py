"""Epochs, by which the order of the ledger survives a restore, and holds, which keep days beyond the retention."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A row for each server that the database has run on, the newest with the highest `began`. `shift` is what the
    # defaults of `jobs.tx` and `events.tx` add to the number of the transaction.
    """
    create table epochs (
        began bigint not null,
        shift bigint not null,
        server_started_at timestamptz,
        began_at timestamptz not null default now(),
        constraint epochs_pkey primary key (began)
    )
    """,
    # A ledger that was restored before has numbers that this server has not reached: the next node begins an epoch.
    # Nodes of the release before may be recording, with numbers above that of this transaction.
    "set local enable_seqscan = off",
    """
    insert into epochs (began, shift, server_started_at)
    select 0, 0, case when not exists (select from events where tx >= future) and
                           not exists (select from jobs where tx >= future) then pg_postmaster_start_time() end
    from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as future) as t
    """,
    "set local enable_seqscan = on",
    """
    create table retention_holds (
        name text collate "C" not null,
        tenant_id integer,
        first_day date,
        last_day date,
        reason text not null,
        created_by text not null,
        created_at timestamptz not null default now(),
        constraint retention_holds_pkey primary key (name)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
