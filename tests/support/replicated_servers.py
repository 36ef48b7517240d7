"""Two PostgreSQL servers with streaming replication, of which a test may kill one and promote the other."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from duly.embedded.folder import Folder
from duly.embedded.folder import open_folder as open_data_folder
from tests.support.postgres_servers import open_folder
from tests.support.service import eventually
from tests.support.service_process import gone
from tests.support.stoppable_server import frozen
from tests.support.tcp_servers import free_port

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A copy of a folder would have the lock of the socket, with the process number of another server.
    "unix_socket_directories": "",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "shared_buffers": "64MB",
    "wal_keep_size": "256MB",
    "wal_retrieve_retry_interval": "200ms",
}
END_SECONDS = 60.0
IS_READ_BY_STANDBY = "select exists (select from pg_stat_replication where state = 'streaming')"
IS_IN_SYNC = "select exists (select from pg_stat_replication where sync_state = 'sync')"


@dataclass
class Member:
    """One server of a pair, in a folder of its own."""

    name: str
    folder: Folder
    cluster: Path
    port: int

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Runs a program of PostgreSQL as the user of the servers."""
        result = self.folder.run(program, *arguments)
        assert result.returncode == 0, f"{program}: {result.stdout}{result.stderr}"

    def start(self) -> None:
        options = {**SETTINGS, "port": str(self.port)}
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        log = self.cluster.with_suffix(".log")
        arguments = ("-D", self.cluster, "-l", log, "-w", "-t", "120", "-o", words, "start")
        assert self.folder.run("pg_ctl", *arguments).returncode == 0, log.read_text()[-2_000:]

    def processes(self) -> list[psutil.Process]:
        try:
            pid = int((self.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
            postmaster = psutil.Process(pid)
        except (OSError, ValueError, psutil.NoSuchProcess):
            return []
        return [postmaster, *postmaster.children(recursive=True)]

    async def end(self, number: signal.Signals) -> None:
        """Ends the server by a signal: SIGINT is a fast shutdown, and SIGKILL ends all of its processes at once."""
        processes = self.processes()
        for process in processes if number is signal.SIGKILL else processes[:1]:
            with suppress(psutil.NoSuchProcess):  # without their postmaster, others end by themselves
                process.send_signal(number)
        await gone(processes, seconds=END_SECONDS)

    def frozen(self) -> AbstractContextManager[None]:
        """Freezes the server for the block, as a lost machine, to which nothing refuses connections."""
        return frozen(self.processes()[0])

    async def sql(self, statement: str, database: str = "postgres") -> Any:
        """Runs a statement and returns its value."""
        connection = await asyncpg.connect(self.url_of(database))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close(timeout=END_SECONDS)


@dataclass
class ReplicatedServers:
    """Primary and standby. `url_of` names both, in the same order after a promotion."""

    primary: Member
    standby: Member
    ports: tuple[int, ...]
    promoted_at: datetime | None = None

    def url_of(self, database: str) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"postgresql://postgres@{hosts}/{database}?target_session_attrs=read-write"

    async def make_synchronous(self) -> None:
        """Makes each commit of the primary wait until the standby has written it to its disk."""
        await self.primary.sql("alter system set synchronous_standby_names = '*'")
        await self.primary.sql("select pg_reload_conf()")
        await eventually(lambda: self.primary.sql(IS_IN_SYNC), seconds=END_SECONDS)

    async def stop_replication(self) -> None:
        """Makes the standby receive nothing more, as behind a broken network; it may still be promoted."""
        await self.standby.sql("alter system set primary_conninfo = ''")
        await self.standby.sql("select pg_reload_conf()")

        async def stopped() -> bool:
            return not await self.primary.sql("select exists (select from pg_stat_replication)")

        await eventually(stopped, seconds=END_SECONDS)

    async def end_primary(self, number: signal.Signals) -> None:
        await self.primary.end(number)

    async def promote(self) -> None:
        """Makes the standby the primary."""
        promoted, self.promoted_at = self.standby, datetime.now(UTC)
        assert await promoted.sql("select pg_promote(true, 60)")
        self.primary, self.standby = promoted, self.primary

    async def fail_over(self, number: signal.Signals) -> None:
        """Ends the primary by a signal, and promotes the standby."""
        await self.end_primary(number)
        await self.promote()

    async def make_standby(self) -> None:
        """Copies the primary to the other member, which follows it from then on."""
        await self.standby.end(signal.SIGKILL)
        shutil.rmtree(self.standby.cluster, ignore_errors=True)
        source = self.primary.url_of("postgres") + f"?application_name={self.standby.name}"
        # A target that exists already keeps its owner.
        self.primary.run(
            *("pg_basebackup", "-D", self.standby.cluster, "-d", source, "-R", "-X", "stream", "-c", "fast", "-N")
        )
        self.standby.start()
        await eventually(lambda: self.primary.sql(IS_READ_BY_STANDBY), seconds=END_SECONDS)


@contextmanager
def _folder_of_members() -> Iterator[tuple[Path, Folder]]:
    """Yields a folder in which the user of the servers may write."""
    base = open_folder()
    try:
        folder = open_data_folder(base / "programs")
        if folder.account is not None:
            os.chown(base, folder.account.uid, folder.account.gid)
        yield base, folder
    finally:
        shutil.rmtree(base, ignore_errors=True)


@asynccontextmanager
async def replicated_servers() -> AsyncIterator[ReplicatedServers]:
    """Yields a primary and an asynchronous standby."""
    with _folder_of_members() as (base, folder):
        first, other = (Member(name, folder, base / name, free_port()) for name in ("first", "other"))
        first.run("initdb", "-D", first.cluster, "-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8", "-N")
        pair = ReplicatedServers(first, other, (first.port, other.port))
        try:
            first.start()
            await pair.make_standby()
            yield pair
        finally:
            for member in (first, other):
                await member.end(signal.SIGKILL)
