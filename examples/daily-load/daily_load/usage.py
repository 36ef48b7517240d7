"""Use of the machine by the service and its PostgreSQL."""

from dataclasses import dataclass
from typing import Any

import asyncpg
import psutil

_DATABASE = """
select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal, pg_database_size(current_database()) as size,
    (select xact_commit from pg_stat_database where datname = current_database()) as commits, pg_backend_pid() as pid
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """Counters at one moment: processor seconds, bytes and commits. `postgres` is 0 if it is on another machine."""

    service: float
    postgres: float
    wal: int
    size: int
    commits: int

    def __sub__(self, before: "Usage") -> "Usage":
        """Returns the use between two moments."""
        return Usage(
            self.service - before.service,
            self.postgres - before.postgres,
            self.wal - before.wal,
            self.size - before.size,
            self.commits - before.commits,
        )


async def usage(service_pid: int, database_url: str) -> Usage:
    """Returns the counters of now."""
    connection = await asyncpg.connect(database_url)
    try:
        [row] = await connection.fetch(_DATABASE)
        # While the connection is open: its process leads to that of the server.
        postgres = _seconds(_parent(row["pid"]))
    finally:
        await connection.close()
    return Usage(_seconds(_process(service_pid)), postgres, int(row["wal"]), row["size"], row["commits"])


def _seconds(process: psutil.Process | None) -> float:
    """Returns the processor time of a process and of its children, including those that have ended."""
    total = 0.0
    for one in [process, *process.children(recursive=True)] if process else []:
        try:
            times: Any = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    if process:
        ended: Any = process.cpu_times()
        total += ended.children_user + ended.children_system
    return total


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _parent(pid: int) -> psutil.Process | None:
    backend = _process(pid)
    return backend.parent() if backend and backend.name() == "postgres" else None
