"""Column types and metadata shared by the declarations of tables."""

from typing import Any, TypeAlias

from sqlalchemy import (
    REAL,
    Column,
    DateTime,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()


Kind: TypeAlias = type[TypeEngine[Any]] | TypeEngine[Any]


def need(name: str, kind: Kind, default: str | None = None) -> Column[Any]:
    """Returns a column that is not null."""
    return Column(name, kind, nullable=False, server_default=text(default) if default else None)


def may(name: str, kind: Kind) -> Column[Any]:
    """Returns a nullable column."""
    return Column(name, kind, nullable=True)


TIME = DateTime(timezone=True)
TRANSACTION_ID = "pg_current_xact_id()::text::bigint"


def counters() -> list[Column[Any]]:
    """Returns the columns that each hot row copies from its job, so that hot statements need not read the wide row."""
    return [
        need("token", Integer),
        need("sequence", Integer),
        need("timeout_seconds", REAL),
        need("priority", SmallInteger),
        need("attempt", SmallInteger),
        need("crashes", SmallInteger),
        need("callback_events", SmallInteger),
        need("queue", Text),
        need("type", Text),
    ]
