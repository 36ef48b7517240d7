"""Servers of the tests: the embedded PostgreSQL 18, and a system PostgreSQL 15 if installed, or another version."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from duly.embedded.server import embedded_server
from tests.support.tcp_servers import free_port

SYSTEM_BINARIES = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True)
class Server:
    """Running server; `url_of` returns the URL of one of its databases."""

    name: str
    template: str

    def url_of(self, database: str) -> str:
        return self.template.replace("/DATABASE", f"/{database}")


# Each new database has about 600 files: in memory, they take a fifth of the time.
IN_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
ENOUGH_BYTES = 8 << 30


def place_of_servers() -> Path | None:
    """Returns a folder with space for the servers of all workers."""
    try:
        return IN_MEMORY if shutil.disk_usage(IN_MEMORY).free > ENOUGH_BYTES and os.access(IN_MEMORY, os.W_OK) else None
    except OSError:
        return None


def open_folder() -> Path:
    """Yields a new folder that the server's user can enter, unlike pytest's temporary folders of root."""
    folder = Path(tempfile.mkdtemp(prefix="duly-test-", dir=place_of_servers()))
    folder.chmod(0o755)
    return folder


@contextmanager
def embedded_18() -> Iterator[Server]:
    folder = open_folder()
    try:
        with embedded_server(folder) as server:
            yield Server("embedded 18", server.url.replace("/duly?", "/DATABASE?"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def system_15(more: str = "") -> Iterator[Server]:
    """Yields a new server; `more` are further options of the command `postgres`."""
    with server_of(SYSTEM_BINARIES, "system 15", more) as server:
        yield server


@contextmanager
def server_of(binaries: Path, name: str, more: str = "") -> Iterator[Server]:
    """Yields a new server of these programs; `more` are further options of the command `postgres`."""
    folder = open_folder()
    port = free_port()
    run = _runner(folder, binaries)
    try:
        run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "-N")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        options += " -c max_connections=200"  # as the embedded server has
        run(
            "pg_ctl",
            "-D",
            str(folder / "data"),
            "-l",
            str(folder / "log"),
            "-w",
            "-t",
            "240",
            "-o",
            f"{options} {more}",
            "start",
        )
        try:
            yield Server(name, f"postgresql://postgres@127.0.0.1:{port}/DATABASE")
        finally:
            run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runner(folder: Path, binaries: Path) -> Callable[..., None]:
    """Runs the server's programs as its own user, since PostgreSQL does not run as root."""
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(binaries / program), *arguments],
            check=True,
            # Not in the group of root, which may not enter a private folder of root that others may.
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=300,
        )

    return run
