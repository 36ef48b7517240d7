"""Table of the figures of each minute, as SQLAlchemy metadata."""

from sqlalchemy import Double, Integer, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from duly.store.schema.column_types import TIME, metadata, need

_COUNTS = ("submitted", "started", "completed", "failed", "cancelled", "retried", "delivered", "undelivered")

Table(
    "minute_figures",
    metadata,
    need("tenant_id", Integer),
    need("queue", Text),
    need("minute", TIME),
    *(need(name, Integer, "0") for name in _COUNTS),
    need("waited", Integer, "0"),
    need("wait_seconds", Double, "0"),
    need("waits", ARRAY(Integer), "'{}'"),
    need("ran", Integer, "0"),
    need("run_seconds", Double, "0"),
    need("runs", ARRAY(Integer), "'{}'"),
    *(need(name, Integer, "0") for name in ("ready", "scheduled", "blocked", "running")),
    need("oldest_seconds", Double, "0"),
    PrimaryKeyConstraint("tenant_id", "queue", "minute", name="minute_figures_pkey"),
)
