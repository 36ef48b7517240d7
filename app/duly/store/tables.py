"""The tables as SQLAlchemy metadata: what Alembic checks the migrations against. No statement is built from it."""

from typing import Any, TypeAlias

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
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
# A UUIDv7, made by the database.
TIMED_ID = """
encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
    substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1),
    'hex')::uuid
"""


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
    _may("expires_at", _TIME),
    _may("unique_key", Text),
    _may("concurrency_key", Text),
    _may("depends_on", ARRAY(UUID)),
    _may("despite_failure", Boolean),
    _may("batch_id", UUID),
    _may("parent_id", UUID),
    _may("digest", LargeBinary),
    PrimaryKeyConstraint("tenant_id", "job_id", name="jobs_pkey"),
    Index("jobs_tx", "tx", postgresql_using="brin"),
    Index("jobs_type", "tenant_id", "type", "job_id", postgresql_where=text("type <> ''")),
    Index("jobs_queue", "tenant_id", "queue", "job_id", postgresql_where=text("queue <> 'default'")),
    Index(
        "jobs_labels",
        "labels",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=text("labels is not null"),
    ),
    Index("jobs_parent", "parent_id", "job_id", postgresql_where=text("parent_id is not null")),
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
    _need("marks", SmallInteger, "0"),
    _may("batch_id", UUID),
    _may("expires_at", _TIME),
    PrimaryKeyConstraint("queue", "type", "priority", "job_id", name="ready_pkey"),
    Index("ready_expires", "expires_at", postgresql_where=text("expires_at is not null")),
)
Table(
    "scheduled",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("run_at", _TIME),
    _need("reason", SmallInteger),
    *_counters(),
    _need("marks", SmallInteger, "0"),
    _may("batch_id", UUID),
    _may("expires_at", _TIME),
    PrimaryKeyConstraint("job_id", name="scheduled_pkey"),
    Index("scheduled_due", "run_at"),
    Index("scheduled_expires", "expires_at", postgresql_where=text("expires_at is not null")),
)
Table(
    "blocked",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _may("run_at", _TIME),
    _may("expires_at", _TIME),
    _may("batch_id", UUID),
    _need("waits_for", Integer),
    *_counters(),
    _need("marks", SmallInteger),
    _need("reason", SmallInteger),
    _may("concurrency_key", Text),
    PrimaryKeyConstraint("job_id", name="blocked_pkey"),
    Index("blocked_key", "tenant_id", "concurrency_key", "job_id", postgresql_where=text("reason = 3")),
    Index("blocked_expires", "expires_at", postgresql_where=text("expires_at is not null")),
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
    _need("marks", SmallInteger, "0"),
    _may("batch_id", UUID),
    PrimaryKeyConstraint("job_id", name="running_pkey"),
    Index("running_limited_queue", "tenant_id", "queue", postgresql_where=text("marks & 32 <> 0")),
    Index("running_limited_type", "tenant_id", "type", postgresql_where=text("marks & 64 <> 0")),
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
    _may("rates", JSON),
    PrimaryKeyConstraint("node_id", name="nodes_pkey"),
)
Table(
    "deliveries",
    metadata,
    _need("tenant_id", Integer),
    _need("delivery_id", UUID, TIMED_ID),
    _need("job_id", UUID),
    _need("due_at", _TIME, "now()"),
    _need("created_at", _TIME, "now()"),
    _need("sequence", Integer),
    _need("token", Integer, "0"),
    _need("kind", SmallInteger),
    _need("attempt", SmallInteger, "0"),
    _need("receiver_id", UUID),
    _may("replay_id", UUID),
    _need("tries_before", SmallInteger, "0"),
    _need("registered", Boolean, "false"),
    _need("taken", Boolean, "false"),
    PrimaryKeyConstraint("delivery_id", name="deliveries_pkey"),
    Index("deliveries_lane", "receiver_id", "due_at"),
    Index("deliveries_listed", "receiver_id", "delivery_id", postgresql_where=text("registered")),
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
    _may("receiver_id", UUID),
    _need("registered", Boolean, "false"),
    PrimaryKeyConstraint("job_id", "delivery_id", "attempt", name="delivery_attempts_pkey"),
    Index("delivery_attempts_last", "delivery_id", postgresql_where=text("outcome <> 2")),
    Index(
        "delivery_attempts_listed",
        "receiver_id",
        "delivery_id",
        postgresql_where=text("registered and outcome <> 2"),
    ),
    Index(
        "delivery_attempts_failed",
        "receiver_id",
        "delivery_id",
        postgresql_where=text("registered and outcome = 3"),
    ),
    postgresql_partition_by="range (job_id)",
)
Table(
    "endpoints",
    metadata,
    _need("tenant_id", Integer),
    _need("endpoint_id", UUID),
    _need("created_at", _TIME, "now()"),
    _need("updated_at", _TIME, "now()"),
    _may("disabled_at", _TIME),
    _may("previous_until", _TIME),
    _need("events", Integer),
    _need("url", Text),
    _may("types", ARRAY(Text)),
    _may("labels", JSONB),
    _may("description", Text),
    _may("headers", Text),
    _need("secret", Text),
    _may("previous_secret", Text),
    _may("signing_key", Text),
    _may("previous_signing_key", Text),
    _may("disabled_reason", Text),
    PrimaryKeyConstraint("tenant_id", "endpoint_id", name="endpoints_pkey"),
)
Table(
    "receivers",
    metadata,
    _need("tenant_id", Integer),
    _need("receiver_id", UUID),
    _need("registered", Boolean),
    _may("paused_at", _TIME),
    _may("failing_since", _TIME),
    _may("opened_at", _TIME),
    _may("probe_at", _TIME),
    _need("refilled_at", _TIME, "now()"),
    _need("tokens", Double, "0"),
    _may("rate_seconds", Double),
    _may("rate_count", Integer),
    _may("concurrency", Integer),
    _need("failures", Integer, "0"),
    _need("state", SmallInteger, "0"),
    _may("last_error", Text),
    PrimaryKeyConstraint("receiver_id", name="receivers_pkey"),
    Index(
        "receivers_gated",
        "receiver_id",
        postgresql_where=text(
            "paused_at is not null or state <> 0 or concurrency is not null or rate_count is not null"
        ),
    ),
)
Table(
    "messages",
    metadata,
    _need("tenant_id", Integer),
    _need("message_id", UUID),
    _need("created_at", _TIME, "now()"),
    _need("kind", SmallInteger),
    _need("body", Text),
    PrimaryKeyConstraint("tenant_id", "message_id", name="messages_pkey"),
    postgresql_partition_by="range (message_id)",
)
Table(
    "replays",
    metadata,
    _need("tenant_id", Integer),
    _need("replay_id", UUID),
    _need("endpoint_id", UUID),
    _need("since", _TIME),
    _need("created_at", _TIME, "now()"),
    _may("collected_at", _TIME),
    _may("last_id", UUID),
    _need("found", Integer, "0"),
    _need("delivered", Integer, "0"),
    _need("failed", Integer, "0"),
    PrimaryKeyConstraint("tenant_id", "replay_id", name="replays_pkey"),
    Index("replays_endpoint", "tenant_id", "endpoint_id", "replay_id"),
    Index("replays_open", "replay_id", postgresql_where=text("collected_at is null")),
)
Table(
    "secret_keys",
    metadata,
    _need("key_id", Text),
    _need("proof", Text),
    _need("created_at", _TIME, "now()"),
    PrimaryKeyConstraint("key_id", name="secret_keys_pkey"),
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
Table(
    "dependencies",
    metadata,
    _need("tenant_id", Integer),
    _need("parent_id", UUID),
    _need("child_id", UUID),
    PrimaryKeyConstraint("parent_id", "child_id", name="dependencies_pkey"),
    Index("dependencies_child", "child_id"),
)
Table(
    "concurrency",
    metadata,
    _need("tenant_id", Integer),
    _need("key", Text),
    _need("job_id", UUID),
    PrimaryKeyConstraint("tenant_id", "key", name="concurrency_pkey"),
    Index("concurrency_job", "job_id", unique=True),
)
Table(
    "unique_keys",
    metadata,
    _need("tenant_id", Integer),
    _need("type", Text),
    _need("key", Text),
    _need("job_id", UUID),
    PrimaryKeyConstraint("tenant_id", "type", "key", name="unique_keys_pkey"),
    Index("unique_keys_job", "job_id", unique=True),
)
Table(
    "endings",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("sequence", Integer),
    _need("kind", SmallInteger),
    _need("marks", SmallInteger),
    PrimaryKeyConstraint("job_id", "sequence", name="endings_pkey"),
)
Table(
    "batches",
    metadata,
    _need("tenant_id", Integer),
    _need("batch_id", UUID),
    _may("name", Text),
    _need("first_id", UUID),
    _need("last_id", UUID),
    _need("total", Integer),
    _need("completed", Integer, "0"),
    _need("failed", Integer, "0"),
    _need("cancelled", Integer, "0"),
    _may("then_job_id", UUID),
    _may("then_job", JSON),
    _need("created_at", _TIME, "now()"),
    _may("completed_at", _TIME),
    PrimaryKeyConstraint("tenant_id", "batch_id", name="batches_pkey"),
)
Table(
    "batch_tallies",
    metadata,
    _need("tenant_id", Integer),
    _need("tally_id", UUID, "gen_random_uuid()"),
    _need("batch_id", UUID),
    _need("completed", Integer),
    _need("failed", Integer),
    _need("cancelled", Integer),
    PrimaryKeyConstraint("tally_id", name="batch_tallies_pkey"),
    Index("batch_tallies_batch", "batch_id"),
)
Table(
    "control",
    metadata,
    _need("id", SmallInteger),
    _need("version", BigInteger),
    PrimaryKeyConstraint("id", name="control_pkey"),
)
Table(
    "queues",
    metadata,
    _need("tenant_id", Integer),
    _need("queue", Text),
    _may("paused_at", _TIME),
    PrimaryKeyConstraint("tenant_id", "queue", name="queues_pkey"),
)
Table(
    "limits",
    metadata,
    _need("tenant_id", Integer),
    _need("scope", SmallInteger),
    _need("name", Text),
    _may("concurrency", Integer),
    _may("rate_count", Integer),
    _may("rate_seconds", Double),
    _may("backlog", Integer),
    _need("tokens", Double, "0"),
    _need("refilled_at", _TIME, "now()"),
    PrimaryKeyConstraint("tenant_id", "scope", "name", name="limits_pkey"),
)
Table(
    "breakers",
    metadata,
    _need("type", Text),
    _need("state", SmallInteger),
    _need("failures", Integer),
    _need("code", Text),
    _may("opened_at", _TIME),
    _may("probe_at", _TIME),
    _may("probe_id", UUID),
    PrimaryKeyConstraint("type", name="breakers_pkey"),
)
Table(
    "schedules",
    metadata,
    _need("tenant_id", Integer),
    _need("name", Text),
    _need("cron", Text),
    _need("timezone", Text),
    _need("submission", JSON),
    _need("overlap", SmallInteger),
    _need("catch_up", SmallInteger),
    _need("paused", Boolean),
    _may("next_run_at", _TIME),
    _may("last_run_at", _TIME),
    _may("last_job_id", UUID),
    _need("created_at", _TIME, "now()"),
    _need("updated_at", _TIME, "now()"),
    PrimaryKeyConstraint("tenant_id", "name", name="schedules_pkey"),
    Index("schedules_due", "next_run_at", postgresql_where=text("not paused")),
)
Table(
    "schedule_runs",
    metadata,
    _need("tenant_id", Integer),
    _need("name", Text),
    _need("due_at", _TIME),
    _may("job_id", UUID),
    PrimaryKeyConstraint("tenant_id", "name", "due_at", name="schedule_runs_pkey"),
)
Table(
    "checkpoints",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("token", Integer),
    _need("recorded_at", _TIME, "now()"),
    _need("value", JSON),
    PrimaryKeyConstraint("job_id", name="checkpoints_pkey"),
)
Table(
    "job_logs",
    metadata,
    _need("tenant_id", Integer),
    _need("job_id", UUID),
    _need("token", Integer),
    _need("line", Integer),
    _need("attempt", SmallInteger),
    _need("level", SmallInteger),
    _need("logged_at", _TIME),
    _need("message", Text),
    _may("fields", JSON),
    PrimaryKeyConstraint("job_id", "token", "line", name="job_logs_pkey"),
    postgresql_partition_by="range (job_id)",
)
Table(
    "stream_tickets",
    metadata,
    _need("digest", LargeBinary),
    _need("tenant_id", Integer),
    _need("expires_at", _TIME),
    PrimaryKeyConstraint("digest", name="stream_tickets_pkey"),
    Index("stream_tickets_expires", "expires_at"),
)
