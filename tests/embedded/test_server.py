"""The embedded PostgreSQL, with real servers and real processes that are really killed.

Where the tests run as root the server runs as another user, so the folders are made open to it (pytest's are not).
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from duly.embedded.folder import Folder, open_folder
from duly.embedded.server import (
    EmbeddedError,
    EmbeddedServer,
    default_data_dir,
    embedded_server,
    listens,
    revive,
)

OWNER = """
import json, sys
from pathlib import Path
from duly.embedded.server import embedded_server
with embedded_server(Path(sys.argv[1])) as server:
    print(json.dumps([server.url, server.postmaster_pid]), flush=True)
    sys.stdin.read()
"""
# Owner that does not get to the end of a first start.
STARTING_OWNER = f"""
import pathlib, sys
pathlib.Path.rename = lambda *_: sys.stdin.read()
{OWNER}"""
SOURCES = Path(__file__).parents[2] / "app"
# Only ends a hang.
BOUND_SECONDS = 120.0


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    with folder_open_to_all() as folder:
        yield folder


@pytest.fixture
def data_dir(made: Path) -> Iterator[Path]:
    """A folder with data (making it takes a second, so the tests share it) and no server yet."""
    yield made
    end_server(made)


@pytest.fixture
def fresh() -> Iterator[Path]:
    with folder_open_to_all() as folder:
        yield folder


@contextmanager
def folder_open_to_all() -> Iterator[Path]:
    """A temporary folder; at the end no server runs in it, and it is gone."""
    folder = Path(tempfile.mkdtemp(prefix="duly-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        end_server(folder)
        shutil.rmtree(folder)


def end_server(folder: Path) -> None:
    """Stops processes that a failed test may have left."""
    if runs(folder):
        place = open_folder(folder)
        place.run("pg_ctl", "-D", place.cluster, "-m", "immediate", "stop")


@pytest.fixture
def own() -> Iterator["Own"]:
    """Start another process that owns the server of a folder until its input ends or it is killed."""
    owners: list[subprocess.Popen[str]] = []

    def start(folder: Path, program: str = OWNER) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(folder)]
        owner = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )
        owners.append(owner)
        return owner

    yield start
    for owner in owners:
        owner.kill()
        owner.communicate(timeout=BOUND_SECONDS)


Own = Callable[..., subprocess.Popen[str]]


def postmaster_of(owner: subprocess.Popen[str]) -> int:
    """Wait until the owner has its server, and say which."""
    assert owner.stdout is not None
    pid: int = json.loads(owner.stdout.readline())[1]
    return pid


def runs(folder: Path) -> bool:
    return (folder / "postgres" / "postmaster.pid").exists()


async def ask(server: EmbeddedServer, question: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


async def test_a_first_start_makes_a_database_that_answers_and_ends_with_the_block(fresh: Path) -> None:
    with embedded_server(fresh / "new" / "data") as server:
        assert await ask(server, "SELECT current_database()") == "duly"
        assert runs(fresh / "new" / "data")
    assert not runs(fresh / "new" / "data")


async def test_sqlalchemy_takes_the_address_with_another_scheme(data_dir: Path) -> None:
    with embedded_server(data_dir) as server:
        engine = create_async_engine(server.url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT current_database()")) == "duly"
        await engine.dispose()


async def test_a_second_start_finds_the_data_of_the_first(data_dir: Path) -> None:
    with embedded_server(data_dir) as server:
        await ask(server, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    with embedded_server(data_dir) as server:
        assert await ask(server, "SELECT answer FROM kept") == 42


async def test_no_network_is_listened_on_and_durability_is_left_alone(data_dir: Path) -> None:
    with embedded_server(data_dir) as server:
        wanted = {"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        assert {name: await ask(server, f"SHOW {name}") for name in wanted} == wanted
        written = re.search(r"max_wal_size = (\d+)MB", (server.data_folder / "duly.conf").read_text())
        assert written is not None
        assert await ask(server, "SELECT setting FROM pg_settings WHERE name = 'max_wal_size'") == written[1]
        assert await ask(server, "SHOW jit") == "off"


def test_the_server_stops_when_its_user_fails(data_dir: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded_server(data_dir):
        raise ZeroDivisionError
    assert not runs(data_dir)


def test_a_terminal_s_interrupt_does_not_reach_the_server(data_dir: Path) -> None:
    with embedded_server(data_dir) as server:
        assert os.getpgid(server.postmaster_pid) != os.getpgid(0)
        assert os.getsid(server.postmaster_pid) != os.getsid(0)


def test_the_server_holds_its_own_lock_and_drops_it_with_its_last_process(data_dir: Path) -> None:
    with embedded_server(data_dir):
        assert not can_take(data_dir / "locks" / "server")
    until(lambda: can_take(data_dir / "locks" / "server"))


def can_take(lock: Path) -> bool:
    with lock.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


async def test_the_server_of_a_killed_owner_is_joined_and_then_stopped(data_dir: Path, own: Own) -> None:
    owner = own(data_dir)
    orphan = postmaster_of(owner)
    owner.kill()
    owner.wait(timeout=BOUND_SECONDS)
    with embedded_server(data_dir) as server:
        assert server.postmaster_pid == orphan
        assert await ask(server, "SELECT 1") == 1
    assert not runs(data_dir)


def test_two_owners_share_one_server_and_the_last_stops_it(data_dir: Path, own: Own) -> None:
    owner = own(data_dir)
    shared = postmaster_of(owner)
    with embedded_server(data_dir) as server:
        assert server.postmaster_pid == shared
    assert runs(data_dir)
    owner.communicate("", timeout=BOUND_SECONDS)
    assert owner.returncode == 0
    assert not runs(data_dir)


def test_first_starts_at_the_same_instant_make_one_server(fresh: Path, own: Own) -> None:
    owners = [own(fresh), own(fresh), own(fresh)]
    assert len({postmaster_of(owner) for owner in owners}) == 1
    for owner in owners:
        owner.communicate("", timeout=BOUND_SECONDS)
    assert not runs(fresh)


async def test_revive_starts_a_killed_server_at_the_same_address(data_dir: Path) -> None:
    with embedded_server(data_dir) as server:
        await ask(server, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
        os.kill(server.postmaster_pid, signal.SIGKILL)
        until(lambda: not answers(server))
        revived = revive(server)
        assert revived.url == server.url
        assert revived.postmaster_pid != server.postmaster_pid
        assert await ask(revived, "SELECT answer FROM kept") == 42
    assert not runs(data_dir)


def test_asking_whether_the_server_lives_starts_no_program(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_server(data_dir) as server:
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", _no_program)
            assert listens(server)
            os.kill(server.postmaster_pid, signal.SIGKILL)
            until(lambda: not listens(server))
        revive(server)


def _no_program(*arguments: object, **_: object) -> None:
    raise AssertionError(f"started {arguments}")


def answers(server: EmbeddedServer) -> bool:
    place = open_folder(server.data_folder.parent)
    return place.run("pg_isready", "-h", place.sockets).returncode == 0


def test_revive_leaves_a_living_server_alone(data_dir: Path) -> None:
    with embedded_server(data_dir) as server:
        assert revive(server) == server


async def test_a_left_over_process_id_that_a_stranger_bears_now_is_no_server(data_dir: Path) -> None:
    with embedded_server(data_dir) as server, stranger(open_folder(data_dir)) as stranger_pid:
        os.kill(server.postmaster_pid, signal.SIGKILL)
        until(lambda: not answers(server))
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            left_over = server.data_folder / name
            _, _, rest = left_over.read_text().partition("\n")
            left_over.write_text(f"{stranger_pid}\n{rest}")
        assert await ask(revive(server), "SELECT 1") == 1


@contextmanager
def stranger(place: Folder) -> Iterator[int]:
    """Process of the server's user that is not a server and must not be stopped."""
    with subprocess.Popen(["sleep", "600"], user=place.account.uid if place.account else None) as process:
        try:
            yield process.pid
            assert process.poll() is None
        finally:
            process.kill()


def test_a_killed_first_start_leaves_nothing_half_made(fresh: Path, own: Own) -> None:
    owner = own(fresh, STARTING_OWNER)
    until(lambda: any(fresh.glob("postgres.new-*/base")))
    owner.kill()
    owner.wait(timeout=BOUND_SECONDS)
    assert not (fresh / "postgres").exists()
    with embedded_server(fresh):
        assert not any(fresh.glob("postgres.new-*"))


def test_a_start_that_fails_quotes_the_log(data_dir: Path) -> None:
    with embedded_server(data_dir):
        pass
    configuration = data_dir / "postgres" / "postgresql.auto.conf"
    before = configuration.read_text()
    configuration.write_text("max_connections = 'many'\n")
    with pytest.raises(EmbeddedError, match=r"did not start .*postgresql\.auto\.conf.*contains errors"):
        embedded_server(data_dir).__enter__()
    configuration.write_text(before)


async def test_a_path_too_long_for_a_socket_gets_a_private_short_one(fresh: Path) -> None:
    with embedded_server(fresh / ("long-" * 25)) as server:
        sockets = Path(server.url.partition("host=")[2].partition("&")[0])
        assert not sockets.is_relative_to(fresh)
        assert sockets.stat().st_mode & 0o077 == 0
        assert await ask(server, "SELECT 1") == 1
    sockets.chmod(0o755)
    with pytest.raises(EmbeddedError, match=f"{sockets} belongs to another user"):
        revive(server)
    sockets.rmdir()


def test_root_keeps_its_data_where_the_server_s_user_may_go() -> None:
    expected = "/var/lib/duly" if os.geteuid() == 0 else "/duly"
    assert str(default_data_dir()).endswith(expected)
