"""Tables of nodes, claim restrictions, schedules and tickets, as SQLAlchemy metadata."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, UUID

from duly.store.schema.column_types import TIME, may, metadata, need

Table(
    "nodes",
    metadata,
    need("node_id", UUID),
    need("name", Text),
    need("version", Text),
    need("roles", ARRAY(Text)),
    need("job_types", ARRAY(Text)),
    need("started_at", TIME, "now()"),
    need("heartbeat_at", TIME, "now()"),
    need("draining", Boolean, "false"),
    may("rates", JSON),
    PrimaryKeyConstraint("node_id", name="nodes_pkey"),
)
Table(
    "control",
    metadata,
    need("id", SmallInteger),
    need("version", BigInteger),
    PrimaryKeyConstraint("id", name="control_pkey"),
)
Table(
    "contractions",
    metadata,
    need("revision", Text),
    PrimaryKeyConstraint("revision", name="contractions_pkey"),
)
Table(
    "queues",
    metadata,
    need("tenant_id", Integer),
    need("queue", Text),
    may("paused_at", TIME),
    PrimaryKeyConstraint("tenant_id", "queue", name="queues_pkey"),
)
Table(
    "limits",
    metadata,
    need("tenant_id", Integer),
    need("scope", SmallInteger),
    need("name", Text),
    may("concurrency", Integer),
    may("rate_count", Integer),
    may("rate_seconds", Double),
    may("backlog", Integer),
    need("tokens", Double, "0"),
    need("refilled_at", TIME, "now()"),
    PrimaryKeyConstraint("tenant_id", "scope", "name", name="limits_pkey"),
)
Table(
    "breakers",
    metadata,
    need("type", Text),
    need("state", SmallInteger),
    need("failures", Integer),
    need("code", Text),
    may("opened_at", TIME),
    may("probe_at", TIME),
    may("probe_id", UUID),
    PrimaryKeyConstraint("type", name="breakers_pkey"),
)
Table(
    "schedules",
    metadata,
    need("tenant_id", Integer),
    need("name", Text),
    need("cron", Text),
    need("timezone", Text),
    need("submission", JSON),
    need("overlap", SmallInteger),
    need("catch_up", SmallInteger),
    need("paused", Boolean),
    may("next_run_at", TIME),
    may("last_run_at", TIME),
    may("last_job_id", UUID),
    may("last_error", JSON),
    need("created_at", TIME, "now()"),
    need("updated_at", TIME, "now()"),
    PrimaryKeyConstraint("tenant_id", "name", name="schedules_pkey"),
    Index("schedules_due", "next_run_at", postgresql_where=text("not paused")),
)
Table(
    "schedule_runs",
    metadata,
    need("tenant_id", Integer),
    need("name", Text),
    need("due_at", TIME),
    may("job_id", UUID),
    PrimaryKeyConstraint("tenant_id", "name", "due_at", name="schedule_runs_pkey"),
)
Table(
    "stream_tickets",
    metadata,
    need("digest", LargeBinary),
    need("tenant_id", Integer),
    need("expires_at", TIME),
    may("opens", JSON),
    PrimaryKeyConstraint("digest", name="stream_tickets_pkey"),
    Index("stream_tickets_expires", "expires_at"),
)
