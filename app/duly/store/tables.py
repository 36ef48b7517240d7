"""The tables as SQLAlchemy metadata: what Alembic checks the migrations against. No statement is built from it."""

from typing import Any, TypeAlias

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID
from sqlalchemy.types import TypeEngine

metadata = MetaData()


Kind: TypeAlias = type[TypeEngine[Any]] | TypeEngine[Any]


def _need(name: str, kind: Kind, default: str | None = None) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=text(default) if default else None)


def _may(name: str, kind: Kind) -> Column[Any]:
    return Column(name, kind, nullable=True)


_TIME = DateTime(timezone=True)
_TRANSACTION_ID = "pg_current_xact_id()::text::bigint"


def _counters() -> list[Column[Any]]:
    """What each hot row carries of its job, so that no hot statement must read the wide row to move it."""
    return [
        _need("token", Integer),
        _need("sequence", Integer),
        _need("timeout_seconds", REAL),
        _need("priority", SmallInteger),
        _need("attempt", SmallInteger),
        _need("crashes", SmallInteger),
        _need("callback_events", SmallInteger),
        _need("queue", Text),
        _need("type", Text),
    ]


Table(
    "jobs",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("created_at", _TIME, "now()"),
    _need("tx", BigInteger, _TRANSACTION_ID),
    _may("run_at", _TIME),
    _need("timeout_seconds", REAL),
    _need("priority", SmallInteger),
    _need("max_attempts", SmallInteger),
    _need("callback_events", SmallInteger),
    _need("type", Text),
    _need("queue", Text),
    _need("parameters", JSON),
    _may("labels", JSONB),
    _may("callback_url", Text),
    _may("callback_secret", Text),
    _may("correlation_id", Text),
    _may("traceparent", Text),
    PrimaryKeyConstraint("tenant_id", "job_id", name="jobs_pkey"),
    Index("jobs_tx", "tx", postgresql_using="brin"),
    postgresql_partition_by="range (job_id)",
)
Table(
    "events",
    metadata,
    _need("job_id", UUID),
    _need("tenant_id", Integer),
    _need("sequence", Integer),
    _need("occurred_at", _TIME, "now()"),
    _need("tx", BigInteger, _TRANSACTION_ID),
    _need("kind", SmallInteger),
    _need("attempt", SmallInteger),
    _need("source", Text),
    _may("data", JSON),
    PrimaryKeyConstraint("job_id", "sequence", name="events_pkey"),
    Index("events_tx", "tx", postgresql_using="brin"),
    Index("events_terminal", "tenant_id", "kind", "job_id", postgresql_where=text("kind >= 10")),
    postgresql_partition_by="range (job_id)",
)
Table(
    "ready",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    *_counters(),
    PrimaryKeyConstraint("queue", "type", "priority", "job_id", name="ready_pkey"),
)
Table(
    "scheduled",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("run_at", _TIME),
    _need("reason", SmallInteger),
    *_counters(),
    PrimaryKeyConstraint("job_id", name="scheduled_pkey"),
    Index("scheduled_due", "run_at"),
)
Table(
    "running",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("node_id", UUID),
    _need("started_at", _TIME, "now()"),
    _need("deadline", _TIME),
    _may("cancel_requested_at", _TIME),
    _may("progress_told_at", _TIME),
    _may("progress", REAL),
    _may("progress_message", Text),
    *_counters(),
    PrimaryKeyConstraint("job_id", name="running_pkey"),
)
Table(
    "nodes",
    metadata,
    _need("node_id", UUID),
    _need("name", Text),
    _need("version", Text),
    _need("roles", ARRAY(Text)),
    _need("job_types", ARRAY(Text)),
    _need("started_at", _TIME, "now()"),
    _need("heartbeat_at", _TIME, "now()"),
    _need("draining", Boolean, "false"),
    PrimaryKeyConstraint("node_id", name="nodes_pkey"),
)
Table(
    "deliveries",
    metadata,
    _need("tenant_id", Integer),
    _need("delivery_id", UUID, "gen_random_uuid()"),
    _need("job_id", UUID),
    _need("due_at", _TIME, "now()"),
    _need("created_at", _TIME, "now()"),
    _need("sequence", Integer),
    _need("token", Integer, "0"),
    _need("kind", SmallInteger),
    _need("attempt", SmallInteger, "0"),
    PrimaryKeyConstraint("delivery_id", name="deliveries_pkey"),
    Index("deliveries_due", "due_at"),
    Index("deliveries_of_job", "job_id", "sequence"),
)
Table(
    "delivery_attempts",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("delivery_id", UUID),
    _need("attempted_at", _TIME, "now()"),
    _need("sequence", Integer),
    _need("duration_ms", Integer),
    _need("kind", SmallInteger),
    _need("attempt", SmallInteger),
    _need("outcome", SmallInteger),
    _may("status_code", SmallInteger),
    _may("error", Text),
    _may("answer", Text),
    PrimaryKeyConstraint("job_id", "delivery_id", "attempt", name="delivery_attempts_pkey"),
    postgresql_partition_by="range (job_id)",
)
Table(
    "idempotency",
    metadata,
    _need("tenant_id", Integer),
    _need("key", Text),
    _need("job_id", UUID),
    _need("created_at", _TIME, "now()"),
    _need("digest", LargeBinary),
    PrimaryKeyConstraint("tenant_id", "key", name="idempotency_pkey"),
    Index("idempotency_age", "created_at", postgresql_using="brin"),
)
