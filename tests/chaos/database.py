"""Database of a chaos run: an embedded server that can be struck, and a TCP proxy that services connect to."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from tests.support.postgres_servers import open_folder
from tests.support.service import eventually
from tests.support.service_process import gone
from tests.support.small_file_system import mounted_tmpfs, resize, shrink
from tests.support.stoppable_server import OwnServer, own_server
from tests.support.tcp_servers import tcp_server

# An error of a session of the run itself, if a fault strikes the database at the same time.
STRUCK = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
PIECE = 1 << 16
END_SECONDS = 300.0
DISK = "8g"  # takes memory as it fills


@dataclass
class Proxy:
    """TCP proxy in front of the socket of a server. `latency` delays each piece; `stalled` forwards nothing."""

    socket: Path
    address: str = ""
    latency: float = 0.0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """URL of the database through this proxy."""
        return f"postgresql://postgres@{self.address.removeprefix('http://')}/duly"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return
        self._writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back))
                both.create_task(self._pump(there, writer))
        finally:
            self._writers -= {writer, back}
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                if self.latency:
                    await asyncio.sleep(self.latency)
                await self.open.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Resets all connections."""
        for writer in self._writers:
            writer.transport.abort()

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Forwards nothing during the block, as a network that drops all packets."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self.latency = seconds
        try:
            yield
        finally:
            self.latency = 0.0


@dataclass
class ChaosDatabase:
    """Server with a proxy for each service. `direct_url` leads past them.

    Attributes:
        disk: file system of its own; None where none can be mounted.
    """

    own: OwnServer
    proxies: list[Proxy]
    disk: Path | None = None

    @property
    def direct_url(self) -> str:
        return self.own.server.url_of("duly")

    @asynccontextmanager
    async def all_stalled(self) -> AsyncIterator[None]:
        with contextlib.ExitStack() as stack:
            for proxy in self.proxies:
                stack.enter_context(proxy.stalled())
            yield

    @asynccontextmanager
    async def all_slow(self, seconds: float) -> AsyncIterator[None]:
        with contextlib.ExitStack() as stack:
            for proxy in self.proxies:
                stack.enter_context(proxy.slow(seconds))
            yield

    async def reset_settings(self) -> None:
        """Removes settings of `alter system`, once the server answers."""

        async def done() -> bool:
            try:
                async with self.session() as connection:
                    await connection.execute("alter system reset all")
                    await connection.execute("select pg_reload_conf()")
            except STRUCK:
                return False
            return True

        await eventually(done, seconds=END_SECONDS)

    async def node_lost(self, *, seconds: float) -> None:
        """Waits until a service is declared lost, or for this long."""
        async with self.session() as connection:
            before = await connection.fetchval("select count(*) from nodes")

            async def lost() -> bool:
                return bool(await connection.fetchval("select count(*) < $1 from nodes", before))

            with contextlib.suppress(TimeoutError):
                await eventually(lost, seconds=seconds)

    async def strike(self, number: signal.Signals) -> None:
        """Ends the server by a signal (SIGINT: fast, SIGQUIT: immediate, SIGKILL: a crash), and restarts it."""
        await self.end_server(number)
        await self.own.start()

    async def end_server(self, number: signal.Signals) -> None:
        postmaster = psutil.Process(self.own.embedded.postmaster_pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes if number is signal.SIGKILL else [postmaster]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        await gone(processes, seconds=END_SECONDS)

    @asynccontextmanager
    async def full_disk(self) -> AsyncIterator[None]:
        """Leaves no space on the disk during the block. Postgres may end without space for its log."""
        assert self.disk is not None
        shrink(self.disk)
        try:
            yield
        finally:
            resize(self.disk, size=DISK)
            await self.own.start()

    async def end_backends(self, query: str = "%") -> None:
        """Terminates the sessions of services whose last statement matches a pattern."""
        async with self.session() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                " and datname = current_database() and query ilike $1",
                query,
            )

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection"]:
        connection = await asyncpg.connect(self.direct_url)
        try:
            yield connection
        finally:
            await connection.close(timeout=END_SECONDS)


@asynccontextmanager
async def chaos_database(services: int) -> AsyncIterator[ChaosDatabase]:
    """Runs a server, and a proxy for each of the services."""
    place = open_folder()
    with mounted_tmpfs(place, size=DISK) as mounted, own_server(place / "data") as own:
        folder = own.embedded.url.partition("host=")[2].partition("&")[0]
        port = own.embedded.url.rpartition("port=")[2]
        proxies = [Proxy(Path(folder) / f".s.PGSQL.{port}") for _ in range(services)]
        async with contextlib.AsyncExitStack() as stack:
            for proxy in proxies:
                proxy.open.set()
                proxy.address = await stack.enter_async_context(tcp_server(proxy.serve))
            yield ChaosDatabase(own, proxies, place if mounted else None)
    shutil.rmtree(place, ignore_errors=True)
