"""Embedded PostgreSQL: one server for each data folder, shared by the processes of a machine and stopped
by the last.

It is coordinated by three file locks, which the kernel releases with their process, even a killed one. `starting` is
held while a server starts or stops. `users` is shared by the processes that use it. `server` is inherited by the
processes of the server: acquiring it proves that none of them is alive, independent of a leftover pid file.
"""

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from duly.embedded.folder import (
    PATIENCE_SECONDS,
    PORT,
    ROOT_DATA_DIR,
    EmbeddedError,
    Folder,
    explained,
    failure,
    make_cluster,
    open_folder,
)
from duly.embedded.tuning import settings_text

__all__ = ["EmbeddedError", "EmbeddedServer", "default_data_dir", "embedded_server", "listens", "revive"]

_STOP_SECONDS = 60
_LARGEST_LOG = 16 << 20


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """Running server. `url` is the same after restarts; `data_folder` is the data directory of PostgreSQL, with its
    log; `socket` is what it listens on.
    """

    url: str
    data_folder: Path
    socket: Path
    postmaster_pid: int


def default_data_dir() -> Path:
    """Returns the user's data folder. For root it is a system folder, because the server's user must be able to enter
    it.
    """
    return ROOT_DATA_DIR if os.geteuid() == 0 else platformdirs.user_data_path("duly", appauthor=False)


@contextmanager
def embedded_server(data_dir: Path) -> Iterator[EmbeddedServer]:
    """Starts the server on `data_dir`, or joins a running one; stops it at the end if no other process
    uses it.

    Blocks while starting (1 s the first time, 0.2 s later) and stopping.

    Raises:
        EmbeddedError: the server cannot be used.
    """
    folder = open_folder(data_dir)
    with _opened(folder, "users") as users, _opened(folder, "starting") as starting:
        try:
            with _exclusive(starting):
                fcntl.flock(users, fcntl.LOCK_SH)
                server = _ensure_running(folder, starting=starting)
            yield server
        finally:
            with _exclusive(starting):
                if _take(users):
                    _stop(folder)


def revive(server: EmbeddedServer) -> EmbeddedServer:
    """Restarts the server if it has died. Blocks.

    Raises:
        EmbeddedError: the server cannot be used.
    """
    folder = open_folder(server.data_folder.parent)
    with _opened(folder, "starting") as starting, _exclusive(starting):
        return _ensure_running(folder, starting=starting)


def listens(server: EmbeddedServer) -> bool:
    """Returns whether the server accepts connections. Its pid proves nothing: a dead process may remain in the process
    table. Starts no program, since it is asked every second.
    """
    return _accepts(server.socket)


def _ensure_running(folder: Folder, *, starting: int) -> EmbeddedServer:
    """Starts the server unless it runs, then waits until it responds; processes of a killed server get time to exit."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with explained(folder.cluster.parent):
        if not (folder.cluster / "PG_VERSION").exists():
            make_cluster(folder, starting=starting)
        while not _answers(folder):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"PostgreSQL on {folder.cluster} does not respond: see its postgres.log, or stop it."
                )
            with _opened(folder, "server") as server:
                if not _listens(folder) and _take(server):
                    _start(folder, server=server)
                else:
                    time.sleep(0.05)
        pid = int((folder.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    url = f"postgresql://postgres@/duly?host={folder.sockets}&port={PORT}"
    return EmbeddedServer(url=url, data_folder=folder.cluster, socket=folder.socket, postmaster_pid=pid)


def _answers(folder: Folder) -> bool:
    """Returns whether the database `duly` can be used; it is created if it is missing."""
    if not _listens(folder):
        return False
    result = _query(folder, database="duly", statement="SELECT 1")
    if result.returncode == 0 or 'database "duly" does not exist' not in result.stderr:
        return result.returncode == 0
    made = _query(folder, database="postgres", statement="CREATE DATABASE duly")
    if made.returncode != 0:
        raise failure("PostgreSQL could not create the database", output=made.stderr, folder=folder)
    return True


def _listens(folder: Folder) -> bool:
    return _accepts(folder.socket)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _query(folder: Folder, *, database: str, statement: str) -> subprocess.CompletedProcess[str]:
    place = ("-h", folder.sockets, "-p", str(PORT), "-U", "postgres", "-d", database)
    return folder.run("psql", "-X", *place, "-c", statement)


def _start(folder: Folder, *, server: int) -> None:
    """Starts the server, which inherits the lock `server`."""
    _disown(folder)
    text = settings_text(cluster=folder.cluster, sockets=folder.sockets, port=PORT)
    _write(folder.cluster / "duly.conf", text.encode(), folder=folder)
    log = folder.cluster / "postgres.log"
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_suffix(".log.old"))
    already = log.stat().st_size if log.exists() else 0
    waiting = ("-w", "-t", str(PATIENCE_SECONDS))
    started = folder.run("pg_ctl", "-D", folder.cluster, *waiting, "-l", log, "start", pass_fds=(server,))
    if started.returncode != 0:
        output = log.read_bytes()[already:].decode(errors="replace") if log.exists() else ""
        raise failure(f"PostgreSQL did not start (see {log})", output=started.stderr + output, folder=folder)


def _disown(folder: Folder) -> None:
    """Replaces the pid of a killed server in its leftover files.

    In a restarted container that pid often belongs to another process, which PostgreSQL would take for a server. It
    knows (from pg_ctl) that our own pid is not one. The rest of the file is kept, since it guards the shared memory.
    """
    folder.socket.with_name(f"{folder.socket.name}.lock").unlink(missing_ok=True)
    left_over = folder.cluster / "postmaster.pid"
    if left_over.exists():
        _, _, rest = left_over.read_bytes().partition(b"\n")
        _write(left_over, b"%d\n%b" % (os.getpid(), rest), folder=folder)


def _write(path: Path, content: bytes, *, folder: Folder) -> None:
    """Writes a file of the server atomically, readable to its user, without following a link that it may have made."""
    new = folder.locks / path.name
    new.write_bytes(content)
    new.chmod(0o644)
    new.replace(path)


def _stop(folder: Folder) -> None:
    """Stops the server and waits for its end: within a minute with a final checkpoint, otherwise as after a crash."""
    with _opened(folder, "server") as server:
        if not _listens(folder) and _take(server):
            return
    for mode in ("fast", "immediate"):
        how = ("-m", mode, "-w", "-t", str(_STOP_SECONDS))
        stopped = folder.run("pg_ctl", "-D", folder.cluster, *how, "stop")
        if stopped.returncode == 0:
            return
    if _listens(folder):
        raise failure("PostgreSQL did not stop", output=stopped.stderr, folder=folder)


@contextmanager
def _opened(folder: Folder, lock: str) -> Iterator[int]:
    with explained(folder.locks.parent):
        descriptor = os.open(folder.locks / lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _exclusive(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _take(descriptor: int) -> bool:
    """Returns whether the lock could be acquired without waiting."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
