"""PgBouncer before a test server, in a chosen mode."""

import asyncio
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.node_packages import program
from tests.support.postgres_servers import open_folder
from tests.support.tcp_servers import free_port

MISSING = "PgBouncer is not on this machine: apt-get install pgbouncer"
START_SECONDS = 60.0
# Releases from this one on prepare the statements of their clients on each connection to the server.
KEEPS_STATEMENTS = (1, 21)
# Few connections, so that the sessions of a service take turns on them.
SERVER_CONNECTIONS = 4


@asynccontextmanager
async def pooler(database_url: str, *, mode: str, connections: int = SERVER_CONNECTIONS) -> AsyncIterator[str]:
    """Yields the URL of this database through a PgBouncer in this mode (`session`, `transaction`)."""
    binary = program("pgbouncer", MISSING)
    parts = urlsplit(database_url)
    given = parse_qs(parts.query)
    host = given["host"][0] if "host" in given else str(parts.hostname)
    server_port = given["port"][0] if "port" in given else str(parts.port)
    port = free_port()
    folder = open_folder()
    user = _user(host) if os.geteuid() == 0 else None  # it does not run as root
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(f"""
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {connections}
max_client_conn = 200
query_wait_timeout = 60
""")
    if user:
        shutil.chown(folder, user)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, str(folder / "pgbouncer.ini")], user=user, cwd=folder, stdout=log, stderr=log
        )
    try:
        await _listens(port, process)
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def version() -> tuple[int, ...]:
    """Returns the version of the PgBouncer of this machine."""
    binary = program("pgbouncer", MISSING)
    printed = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=300).stdout
    return tuple(int(part) for part in printed.split()[1].split("."))


def _user(host: str) -> int:
    """Returns a user that may enter the folder of the server's socket."""
    return Path(host).stat().st_uid if host.startswith("/") else pwd.getpwnam("postgres").pw_uid


async def _listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            assert process.poll() is None, "PgBouncer ended; its log is in its folder"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
