"""Pauses and limits of starts, as cells compare them. Each cell has rows of its own, which `FlowController` writes."""

from typing import NamedTuple

from duly.store.postgres.database import Connection
from duly.store.queue.flow_control import Name
from duly.store.queue.limits import FlowLimits, Scope, limits_in


class Restrictions(NamedTuple):
    """Paused queues, and limits of queues and job types, of all tenants."""

    paused: frozenset[Name]
    limits: dict[tuple[int, Scope, str], FlowLimits]


READ_PAUSED = "select tenant_id, queue from queues where paused_at is not null"
READ_START_LIMITS = """
select concurrency, rate_count, rate_seconds, tenant_id, scope, name from limits where scope in (1, 2)
"""
READ_LIMITED_QUEUES = "select tenant_id, name from limits where scope = 1"


async def read_restrictions(connection: Connection) -> Restrictions:
    """Returns the restrictions that were set by hand."""
    paused = frozenset((row[0], row[1]) for row in await connection.fetch(READ_PAUSED))
    rows = await connection.fetch(READ_START_LIMITS)
    return Restrictions(paused, {(row[3], Scope(row[4]), row[5]): limits_in(row) for row in rows})


async def read_limited_queues(connection: Connection) -> frozenset[Name]:
    """Returns the queues with a limit of starts."""
    return frozenset((row[0], row[1]) for row in await connection.fetch(READ_LIMITED_QUEUES))
