"""Alembic's entry: runs the migrations on the connection that `duly.store.schema.migrations` hands over."""

from alembic import context

from duly.store.schema.migrations import is_ours
from duly.store.schema.tables import metadata

connection = context.config.attributes["connection"]
# Each migration commits by itself, so that a later one may use what cannot run inside a transaction.
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_name=is_ours,
    compare_server_default=False,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
