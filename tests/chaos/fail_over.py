"""Fail-over of a chaos run: a synchronous standby of the server takes its place, and moves to its address later."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from duly.embedded.folder import PORT, Folder, open_folder
from tests.chaos.database import END_SECONDS, STRUCK, ChaosDatabase
from tests.support.service import eventually

STANDBY_PORT = PORT + 1
IS_IN_SYNC = "select exists (select from pg_stat_replication where sync_state = 'sync')"


@dataclass
class Standby:
    """Copy of the server that follows it, in a folder beside it."""

    database: ChaosDatabase
    folder: Folder
    cluster: Path

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/duly?host={self.folder.sockets}&port={STANDBY_PORT}"

    async def run(self, program: str, *arguments: str | Path) -> None:
        """Runs a program of PostgreSQL as the user of the servers."""
        result = await asyncio.to_thread(self.folder.run, program, *arguments)
        assert result.returncode == 0, f"{program}: {result.stdout}{result.stderr}"

    async def begin(self) -> None:
        """Copies the server, and makes each of its commits wait for the copy from then on."""
        self.cluster.mkdir(mode=0o700)
        if self.folder.account is not None:
            os.chown(self.cluster, self.folder.account.uid, self.folder.account.gid)
        source = f"host={self.folder.sockets} port={PORT} user=postgres application_name=standby"
        await self.run("pg_basebackup", "-D", self.cluster, "-d", source, "-R", "-X", "stream", "-c", "fast", "-N")
        log = self.cluster / "postgres.log"
        start = (
            "-D",
            self.cluster,
            "-l",
            log,
            "-w",
            "-t",
            f"{END_SECONDS:.0f}",
            "-o",
            f"-c port={STANDBY_PORT}",
            "start",
        )
        await self.run("pg_ctl", *start)
        await _until(self._begin_synchrony)
        await _until(self._is_in_sync)

    async def _begin_synchrony(self) -> bool:
        async with self.database.session() as connection:
            await connection.execute("alter system set synchronous_standby_names = '*'")
            return bool(await connection.fetchval("select pg_reload_conf()"))

    async def _is_in_sync(self) -> bool:
        async with self.database.session() as connection:
            return bool(await connection.fetchval(IS_IN_SYNC))

    async def promote(self) -> None:
        """Makes it the server to which all proxies lead."""
        connection = await asyncpg.connect(self.url)
        try:
            assert await connection.fetchval(f"select pg_promote(true, {END_SECONDS:.0f})")
        finally:
            await connection.close(timeout=END_SECONDS)
        for proxy in self.database.proxies:
            proxy.socket = proxy.socket.with_name(f".s.PGSQL.{STANDBY_PORT}")

    async def stop(self) -> None:
        with suppress(AssertionError):  # it may not have started
            await self.run("pg_ctl", "-D", self.cluster, "-m", "fast", "-w", "-t", f"{END_SECONDS:.0f}", "stop")


async def _until(step: Callable[[], Awaitable[bool]]) -> None:
    async def done() -> bool:
        try:
            return await step()
        except STRUCK:
            return False

    await eventually(done, seconds=END_SECONDS)


@asynccontextmanager
async def failed_over(database: ChaosDatabase, number: signal.Signals, lost: Callable[[], None]) -> AsyncIterator[None]:
    """Ends the server by a signal, and promotes its synchronous standby for the block.

    Afterwards, the data of the promoted server has the address of the first one, as after an orderly restart.

    Args:
        lost: called right before the server ends.
    """
    own, former = database.own, database.own.embedded
    folder = open_folder(former.data_folder.parent)
    standby = Standby(database, folder, folder.cluster.with_name("standby"))
    try:
        await standby.begin()
        lost()
        await database.end_server(number)
        await standby.promote()
        own.embedded = replace(former, url=standby.url)
        try:
            yield
        finally:
            lost()
            await standby.stop()
            own.embedded = former
            shutil.rmtree(folder.cluster)
            standby.cluster.rename(folder.cluster)
            for proxy in database.proxies:
                proxy.socket = folder.socket
            await own.start()
    finally:
        await standby.stop()
        shutil.rmtree(standby.cluster, ignore_errors=True)
        await own.start()  # the standby may not have taken its place in time
        await database.reset_settings()
