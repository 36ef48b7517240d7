"""Backups of an embedded server, and embedded servers that are restored from them."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from duly.embedded.folder import PORT, Folder
from duly.embedded.folder import open_folder as open_data_folder
from duly.embedded.server import EmbeddedServer, embedded_server
from tests.support.postgres_servers import open_folder
from tests.support.stoppable_server import frozen

ARCHIVING = (
    "alter system set archive_mode = on",
    "alter system set archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'",
)
RECOVERY = """
restore_command = 'cp {archive}/%f %p'
recovery_target_name = '{target}'
recovery_target_action = 'promote'
hot_standby = off
archive_mode = off
"""
# Transactions that record nothing.
COUNT_UP = "do $$ begin for n in 1..{count} loop perform pg_current_xact_id(); commit; end loop; end $$"
# More than a new server counts while a dump is restored into it.
COUNTED = 50_000
DATABASE = "duly"


@dataclass
class BackedUp:
    """Embedded server that archives its WAL, with its backups in `folder`."""

    folder: Path
    data: Folder
    server: EmbeddedServer

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    async def back_up(self) -> None:
        """Takes a snapshot of the volume, a base backup and a dump."""
        await asyncio.to_thread(self._take_snapshot)
        await asyncio.gather(
            self._run("pg_basebackup", "-D", self.folder / "base", "-c", "fast", "-X", "none"),
            self._run("pg_dump", "-Fc", "-f", self.folder / "dump", "-d", DATABASE),
        )

    def _take_snapshot(self) -> None:
        """Copies the files as they are between two instructions of the server, as a snapshot of a volume does."""
        with frozen(psutil.Process(self.server.postmaster_pid)):
            ignored = shutil.ignore_patterns(".s.PGSQL.*")  # the socket
            shutil.copytree(self.data.cluster, self.folder / "snapshot", ignore=ignored)

    async def mark(self, name: str) -> None:
        """Names the present state, to which `restored_to` goes back, and archives it."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(f"select pg_create_restore_point('{name}')")
        segment = await connection.fetchval("select pg_walfile_name(pg_switch_wal())")
        await connection.close()
        async with asyncio.timeout(60):
            while not (self.archive / segment).exists():
                await asyncio.sleep(0.05)

    async def _run(self, program: str, *arguments: str | Path) -> None:
        await asyncio.to_thread(_run, self.data, program, *arguments)

    @contextmanager
    def restored_to(self, mark: str) -> Iterator[str]:
        """Yields the URL of a server that was restored from the base backup and the archive."""
        with _data_folder() as (folder, data):
            shutil.copytree(self.folder / "base", data.cluster)
            with (data.cluster / "postgresql.auto.conf").open("a") as settings:
                settings.write(RECOVERY.format(archive=self.archive, target=mark))
            (data.cluster / "recovery.signal").touch()
            _own(data, data.cluster)
            with embedded_server(folder) as server:
                yield server.url

    @contextmanager
    def restored_from_snapshot(self) -> Iterator[str]:
        """Yields the URL of a server on the snapshot, which recovers as after a crash."""
        with _data_folder() as (folder, data):
            shutil.copytree(self.folder / "snapshot", data.cluster)
            with (data.cluster / "postgresql.auto.conf").open("a") as settings:
                settings.write("archive_mode = off\n")
            _own(data, data.cluster)
            with embedded_server(folder) as server:
                yield server.url

    @contextmanager
    def restored_from_dump(self, *, transactions: int = 0) -> Iterator[str]:
        """Yields the URL of a new server with the dump, after it has counted this number of transactions."""
        with _data_folder() as (folder, data), embedded_server(folder) as server:
            if transactions:
                _run(data, "psql", "-qc", COUNT_UP.format(count=transactions), "-d", "postgres")
            _run(data, "pg_restore", "-d", DATABASE, "--exit-on-error", self.folder / "dump")
            yield server.url


@contextmanager
def backed_up_server() -> Iterator[BackedUp]:
    """Starts an embedded server whose WAL is archived, and which has counted many transactions."""
    with _data_folder() as (folder, data):
        backups = folder / "backups"
        (backups / "archive").mkdir(parents=True)
        with embedded_server(folder):
            _own(data, backups)
            for statement in ARCHIVING:
                _run(data, "psql", "-qc", statement.format(archive=backups / "archive"), "-d", "postgres")
            _run(data, "pg_ctl", "-D", data.cluster, "-m", "fast", "-w", "stop")
        with embedded_server(folder) as server:
            _run(data, "psql", "-qc", COUNT_UP.format(count=COUNTED), "-d", "postgres")
            yield BackedUp(backups, data, server)


@contextmanager
def _data_folder() -> Iterator[tuple[Path, Folder]]:
    folder = open_folder()
    try:
        data = open_data_folder(folder)
        yield folder, data
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _own(data: Folder, path: Path) -> None:
    """Gives a folder to the user of the server, if that is another one."""
    if data.account is not None:
        for each in (path, *path.rglob("*")):
            shutil.chown(each, data.account.uid, data.account.gid)


def _run(data: Folder, program: str, *arguments: str | Path) -> None:
    where = [] if program == "pg_ctl" else ["-h", str(data.sockets), "-p", str(PORT), "-U", "postgres"]
    done = data.run(program, *where, *arguments)
    assert done.returncode == 0, done.stderr
