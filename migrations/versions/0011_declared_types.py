"""Declared job types: what nodes without its handler know about a job type."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    # The tenant 0 owns the types of Python handlers, which belong to every tenant. `handler` is null for types that
    # were declared over HTTP.
    """
    create table declared_types (
        tenant_id int not null,
        type text not null,
        description text not null,
        parameters_schema json not null,
        result_schema json not null,
        timeout_seconds float8 not null,
        max_attempts int not null,
        retry json not null,
        queue text,
        handler json,
        digest bytea not null,
        declared_at timestamptz not null default now(),
        seen_at timestamptz not null default now(),
        constraint declared_types_pkey primary key (tenant_id, type)
    )
    """,
    # The version of declared types.
    "insert into control (id, version) values (3, 1)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
