"""All tables as SQLAlchemy metadata, which Alembic compares with the migrations. No statement is built from it."""

from duly.store.schema import (
    access_tables,
    control_tables,
    figure_tables,
    job_tables,
    lease_tables,
    step_tables,
    webhook_tables,
)
from duly.store.schema.column_types import metadata

DECLARED = (job_tables, lease_tables, step_tables, webhook_tables, control_tables, access_tables, figure_tables)

__all__ = ["DECLARED", "metadata"]
