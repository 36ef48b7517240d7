"""Tables of leases over HTTP, as SQLAlchemy metadata."""

from sqlalchemy import Integer, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from duly.store.schema.column_types import TIME, may, metadata, need

Table(
    "leases",
    metadata,
    need("tenant_id", Integer),
    need("job_id", UUID),
    need("expires_at", TIME),
    may("cancel_told_at", TIME),
    need("token", Integer),
    need("lease_seconds", Integer),
    need("lines", Integer, "0"),
    may("worker_name", Text),
    may("key_id", Text),
    PrimaryKeyConstraint("job_id", name="leases_pkey"),
)
Table(
    "lease_ends",
    metadata,
    need("tenant_id", Integer),
    need("job_id", UUID),
    need("token", Integer),
    need("sequence", Integer),
    need("kind", SmallInteger),
    need("digest", LargeBinary),
    PrimaryKeyConstraint("job_id", "token", name="lease_ends_pkey"),
    postgresql_partition_by="range (job_id)",
)
