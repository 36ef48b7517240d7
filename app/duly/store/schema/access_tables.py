"""The tables of tenants, API keys and the audit log, as SQLAlchemy metadata."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from duly.store.schema.column_types import TIME, may, metadata, need

Table(
    "tenants",
    metadata,
    Column("tenant_id", Integer, Identity(), nullable=False),
    need("name", Text),
    may("submit_rate", Double),
    may("submit_burst", Integer),
    may("backlog_limit", Integer),
    may("retention_days", Integer),
    may("max_endpoints", Integer),
    may("max_schedules", Integer),
    may("max_keys", Integer),
    need("created_at", TIME, "now()"),
    may("max_queues", Integer),
    PrimaryKeyConstraint("tenant_id", name="tenants_pkey"),
    UniqueConstraint("name", name="tenants_name"),
    Index("tenants_retention", "retention_days", postgresql_where=text("retention_days is not null")),
)
Table(
    "api_keys",
    metadata,
    need("key_id", Text),
    need("tenant_id", Integer),
    need("name", Text),
    need("digest", LargeBinary),
    need("scopes", ARRAY(Text)),
    may("types", ARRAY(Text)),
    may("queues", ARRAY(Text)),
    may("rate_count", Integer),
    may("rate_seconds", Double),
    may("expires_at", TIME),
    need("created_at", TIME, "now()"),
    need("created_by", Text),
    may("last_used_at", TIME),
    may("revoked_at", TIME),
    may("valid_until", TIME),
    PrimaryKeyConstraint("key_id", name="api_keys_pkey"),
    Index("api_keys_tenant", "tenant_id", "created_at", "key_id"),
)
Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    need("tenant_id", Integer),
    need("at", TIME, "now()"),
    need("actor", Text),
    need("action", Text),
    need("subject", Text),
    may("before", JSON),
    may("after", JSON),
    may("request_id", Text),
    PrimaryKeyConstraint("tenant_id", "id", name="audit_pkey"),
)
Table(
    "submitters",
    metadata,
    need("tenant_id", Integer),
    need("role", Text),
    need("created_at", TIME, "now()"),
    PrimaryKeyConstraint("role", "tenant_id", name="submitters_pkey"),
)
