"""Findings about the database server: its version, its connections, and what keeps vacuum from its work."""

from math import ceil

from duly.domain.durations import duration_words
from duly.domain.node_role import Role
from duly.lifecycle.maintenance.finding import Finding
from duly.settings import Settings
from duly.store.ledger.retention import longest_retention
from duly.store.maintenance.diagnosis import (
    count_sessions,
    find_old_readers,
    find_oldest_snapshot,
    list_nodes,
    read_connection_limits,
    read_freeze_age,
    read_lock_table,
    read_major_version,
)
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.connection_pool import MOST_WHEN_STUCK
from duly.store.postgres.epochs import lacking_grant
from duly.store.postgres.partitions import DAYS_AHEAD

OLDEST_VERSION = 15
SESSIONS_SHARE = 0.9
# Connections of a process to each of several cells beside the others: that of its probes.
PROBE_CONNECTIONS = 1
# Locks of a page of a list without a time, by day: tables and indexes.
LOCKS_OF_DAY = 9
READER_SECONDS = 3600.0
# Rows that as many transactions have updated or deleted cannot be removed.
SNAPSHOT_TRANSACTIONS = 1_000_000
# Age of the oldest transaction ID as a multiple of the age at which the server begins to freeze rows by itself.
FREEZE_SHARE = 3


async def version_findings(connection: Connection) -> list[Finding]:
    """Returns a finding if the server is older than the oldest version that Duly supports."""
    major = await read_major_version(connection)
    if major >= OLDEST_VERSION:
        return []
    reason = f"The server is PostgreSQL {major}, and Duly needs {OLDEST_VERSION} or newer."
    return [Finding("DATABASE_VERSION_UNSUPPORTED", reason, "upgrade PostgreSQL")]


async def session_findings(connection: Connection) -> list[Finding]:
    """Returns a finding if most connections of the server are in use."""
    sessions = await count_sessions(connection)
    if sessions.open <= SESSIONS_SHARE * sessions.most:
        return []
    reason = f"{sessions.open} of the server's {sessions.most} connections are in use."
    return [Finding("CONNECTIONS_LOW", reason, "raise max_connections, or lower DULY_DATABASE_CONNECTIONS")]


async def budget_findings(connection: Connection, settings: Settings) -> list[Finding]:
    """Compares the connections that all processes may open with the limits on them. A pooler in transaction mode
    shares them among its clients.
    """
    if settings.transaction_pooling:
        return []
    processes = max(settings.processes, len(await list_nodes(connection)))
    each = settings.database_connections + (PROBE_CONNECTIONS if settings.cells is not None else 0)
    limits = await read_connection_limits(connection)
    found = [
        ("the server has {:,} for Duly", limits.left, "raise max_connections"),
        ("the role may have {:,}", limits.of_role, "ALTER ROLE … CONNECTION LIMIT"),
        ("the database may have {:,}", limits.of_database, "ALTER DATABASE … CONNECTION LIMIT"),
    ]
    needed = processes * each
    plural = "process" if processes == 1 else "processes"
    words = f"{processes:,} {plural} hold up to {needed:,} connections ({each} each)"
    return [
        Finding(
            "CONNECTION_BUDGET",
            f"{words}, and {which.format(limit)}.",
            f"{remedy}, lower DULY_DATABASE_CONNECTIONS or DULY_PROCESSES, or use a pooler in transaction mode",
        )
        for which, limit, remedy in found
        if limit is not None and needed > limit
    ]


async def lock_findings(connection: Connection, settings: Settings) -> list[Finding]:
    """Returns a finding if lists of jobs of the whole retention, on all connections at once, need more locks than the
    server has room for. A pooler in transaction mode shares the connections.
    """
    if settings.transaction_pooling:
        return []
    found = await read_lock_table(connection)
    serving = sum(Role.API.value in node.roles for node in await list_nodes(connection))
    pooled = max(MOST_WHEN_STUCK, settings.database_connections // 2)
    connections = min(max(settings.processes, serving) * pooled, found.connections)
    days = max(found.days, await longest_retention(connection, settings.retention_days) + DAYS_AHEAD + 1)
    needed = LOCKS_OF_DAY * days * connections
    least = ceil(needed / found.sessions)
    if found.per_transaction >= least:
        return []
    reason = (
        f"{connections:,} connections that list jobs of {days:,} days need {needed:,} locks, "
        f"and the server has room for {found.per_transaction * found.sessions:,}."
    )
    remedy = f"set max_locks_per_transaction to {least:,} or more, or lower DULY_RETENTION_DAYS"
    return [Finding("LOCK_TABLE_SMALL", reason, remedy)]


async def epoch_findings(connection: Connection) -> list[Finding]:
    """Returns a finding if this role may not begin an epoch of the ledger."""
    if (grant := await lacking_grant(connection)) is None:
        return []
    reason = (
        "The role may not begin an epoch of the ledger: after a restart, a restore or a fail-over of the server, the "
        "stream of all jobs may miss events."
    )
    return [Finding("EPOCH_NOT_PERMITTED", reason, f"run as the owner: {grant}")]


async def vacuum_findings(connection: Connection) -> list[Finding]:
    """Returns what keeps vacuum from removing rows: transactions that have been reading for long, or else the oldest
    snapshot; and whether the transaction IDs of the database are not frozen in time.
    """
    return (await _readers(connection) or await _snapshot(connection)) + await _freeze(connection)


async def _readers(connection: Connection) -> list[Finding]:
    return [
        Finding(
            "LONG_SNAPSHOT",
            f"Vacuum cannot clean up behind a transaction that has read for {duration_words(reader.seconds)}: "
            f"pid {reader.pid} ({reader.application}, user {reader.user}).",
            f"let it end, or end it: SELECT pg_terminate_backend({reader.pid})",
        )
        for reader in await find_old_readers(connection, seconds=READER_SECONDS)
    ]


async def _snapshot(connection: Connection) -> list[Finding]:
    oldest = await find_oldest_snapshot(connection)
    if oldest is None or oldest.age < SNAPSHOT_TRANSACTIONS:
        return []
    reason = f"Vacuum cannot remove rows of the last {oldest.age:,} transactions, held by {oldest.holder}."
    return [Finding("XMIN_OLD", reason, "let it end, or end it; drop a replication slot that nothing uses")]


async def _freeze(connection: Connection) -> list[Finding]:
    found = await read_freeze_age(connection)
    if found.age <= FREEZE_SHARE * found.begins_at:
        return []
    reason = f"The oldest transaction ID of the database is {found.age:,} transactions old: vacuum does not freeze it."
    return [Finding("FREEZE_LATE", reason, "run VACUUM FREEZE, and look for what keeps autovacuum from its work")]
