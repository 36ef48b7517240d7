"""Entry point of Alembic: runs the migrations on the connection of `duly.store.schema.migrations`."""

from alembic import context

from duly.store.schema.migrations import is_ours
from duly.store.schema.tables import metadata

connection = context.config.attributes["connection"]
# Each migration commits by itself, so that a later one can use statements that are not allowed in a transaction.
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_name=is_ours,
    compare_server_default=False,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
