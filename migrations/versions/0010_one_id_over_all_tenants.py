"""Unique ids of jobs over all tenants."""

from alembic import op
from sqlalchemy import Connection, text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# The condition is always true: without it, the planner may read a tenant's jobs in the order of this index, which has
# those of all tenants.
DEFINITION = "(job_id) where type <> ''"
# Partitions without an attached index of `jobs_id`; those that are made from now on get it when they are attached.
FIND_LACKING = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass(:schema || '.jobs') and not i.inhdetachpending and not exists (
    select from pg_inherits p join pg_index x on x.indexrelid = p.inhrelid
    where p.inhparent = to_regclass(:schema || '.jobs_id') and x.indrelid = c.oid
)
order by c.relname
"""


def upgrade() -> None:
    """Builds the index partition by partition, each while the service reads and writes it. May be repeated after an
    error.
    """
    # Behind a transaction pooler, names are searched in the service's own schema within transactions only.
    schema = op.get_bind().execute(text("select quote_ident(current_schema())")).scalar_one()
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        connection.execute(text(f"create unique index if not exists jobs_id on only {schema}.jobs {DEFINITION}"))
        for partition in connection.execute(text(FIND_LACKING), {"schema": schema}).scalars().all():
            _build(connection, schema, partition)


def _build(connection: Connection, schema: str, partition: str) -> None:
    name = f"{partition}_job_id_idx"
    # An earlier try may have left it invalid.
    connection.execute(text(f"drop index concurrently if exists {schema}.{name}"))
    connection.execute(text(f"create unique index concurrently {name} on {schema}.{partition} {DEFINITION}"))
    connection.execute(text(f"alter index {schema}.jobs_id attach partition {schema}.{name}"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
