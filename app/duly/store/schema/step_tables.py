"""Tables of recorded steps and signals, as SQLAlchemy metadata. Their values are in the events that they refer to."""

from sqlalchemy import Boolean, Integer, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from duly.store.schema.column_types import TIME, may, metadata, need

Table(
    "steps",
    metadata,
    need("tenant_id", Integer),
    need("job_id", UUID),
    need("sequence", Integer),
    need("kind", SmallInteger),
    need("status", SmallInteger),
    need("name", Text),
    may("until", TIME),
    need("compensable", Boolean, "false"),
    PrimaryKeyConstraint("job_id", "kind", "name", name="steps_pkey"),
    postgresql_partition_by="range (job_id)",
)
Table(
    "signals",
    metadata,
    need("tenant_id", Integer),
    need("job_id", UUID),
    need("sequence", Integer),
    need("name", Text),
    need("digest", LargeBinary),
    PrimaryKeyConstraint("job_id", "name", name="signals_pkey"),
    postgresql_partition_by="range (job_id)",
)
