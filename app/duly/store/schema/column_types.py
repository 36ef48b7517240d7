"""What the declarations of tables share: the metadata, and the forms of their columns."""

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
    return Column(name, kind, nullable=False, server_default=text(default) if default else None)


def may(name: str, kind: Kind) -> Column[Any]:
    return Column(name, kind, nullable=True)


TIME = DateTime(timezone=True)
TRANSACTION_ID = "pg_current_xact_id()::text::bigint"
# A UUIDv7, made by the database.
TIMED_ID = """
encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
    substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1),
    'hex')::uuid
"""


def counters() -> list[Column[Any]]:
    """What each hot row carries of its job, so that no hot statement must read the wide row to move it."""
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
