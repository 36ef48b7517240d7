"""Who takes part: how each contestant is started, and on which database."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import naive
from benchmarks.ground import Ground, Kind
from benchmarks.peers import catalog, installing
from benchmarks.peers.catalog import Peer
from benchmarks.processes import ROOT, ContestantFailed, started

DULY = Path(sys.executable).with_name("duly")
DULY_READY = r"Duly is ready on http://127\.0\.0\.1:(\d+)"
UVICORN_READY = r"Uvicorn running on http://127\.0\.0\.1:(\d+)"
API_ONLY = ("api",)
ALL_ROLES = ("api", "worker", "dispatcher", "sweeper")
MIGRATE_SECONDS = 60
# The receivers of a run are on the machine itself, where none is called otherwise.
CALLBACKS_ALLOWED = {"DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """`factory` makes the application of the hand-written ones; `stores` says whether it needs the hand-written table.

    A peer has neither, but a library.
    """

    name: str
    kind: Kind
    factory: str = ""
    stores: bool = False
    peer: Peer | None = None


DULY_ITSELF = Contestant("Duly", Kind.DULY)
NAIVE = Contestant("naive", Kind.NAIVE, "naive:create", stores=True)
ASGI = Contestant("bare ASGI, no database", Kind.CEILING, "ceiling:create_asgi")
STARLETTE = Contestant("Starlette, no database", Kind.CEILING, "ceiling:create_starlette")
FASTAPI = Contestant("FastAPI, no database", Kind.CEILING, "ceiling:create_fastapi")
STARLETTE_BATCHED = Contestant(
    "Starlette, batched INSERT", Kind.CEILING, "ceiling:create_starlette_batched", stores=True
)
FASTAPI_MANY = Contestant("FastAPI, one INSERT for all", Kind.CEILING, "ceiling:create_fastapi_many", stores=True)


def peers_that_submit(ground: Ground) -> tuple[Contestant, ...]:
    """Those whose bulk calls differ: not a library twice because its worker is set up in two ways."""
    taking_part = catalog.taking_part(full=ground.sizes.full)
    return tuple(_peer(peer, words=peer.bulk) for peer in taking_part if peer.submits)


def peers_that_run(ground: Ground) -> tuple[Contestant, ...]:
    return tuple(_peer(peer, words=peer.setup) for peer in catalog.taking_part(full=ground.sizes.full))


def _peer(peer: Peer, *, words: str) -> Contestant:
    return Contestant(f"{peer.name} {installing.version(peer)} ({words})", Kind.PEER, peer=peer)


@dataclass(frozen=True, slots=True)
class Running:
    pid: int
    port: int
    database: str
    ready_seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """Options of a start: roles, database (none: a new one), further environment variables, and
    how many file descriptors at most.
    """

    roles: tuple[str, ...] = ALL_ROLES
    database: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    naive_workers: int = 4
    descriptors: int | None = None


@contextlib.contextmanager
def running(contestant: Contestant, ground: Ground, start: Start) -> Iterator[Running]:
    """The contestant serves for the length of the block. Raises ContestantFailed when it cannot."""
    database = start.database or new_database(contestant, ground)
    duly = contestant.kind is Kind.DULY
    command = duly_command(ground, database, start.roles) if duly else uvicorn_command(contestant)
    with started(
        _limited(command, start.descriptors),
        environment=_environment(ground, database) | _environment_of(start),
        log=ground.folder / f"{database}.log",
        ready=DULY_READY if duly else UVICORN_READY,
    ) as process:
        yield Running(process.pid, process.port, database, process.ready_seconds)
    if start.database is None:
        ground.drop(database)


def duly_command(ground: Ground, database: str, roles: tuple[str, ...]) -> list[str]:
    """Started as users start it; the roles are named only where not all are wanted."""
    url = ground.server.url(database)
    command = [str(DULY), "serve", "--port", "0", "--database-url", url, "--handlers", "benchmarks.jobs"]
    return command if roles == ALL_ROLES else [*command, *(part for role in roles for part in ("--role", role))]


def _limited(command: list[str], descriptors: int | None) -> list[str]:
    if descriptors is None:
        return command
    return ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"', *command]


def uvicorn_command(contestant: Contestant) -> list[str]:
    application = f"benchmarks.{contestant.factory}"
    server = [sys.executable, "-m", "uvicorn", "--factory", application, "--host", "127.0.0.1", "--port", "0"]
    return [*server, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "info"]


def new_database(contestant: Contestant, ground: Ground) -> str:
    """A database of its own, with the tables the contestant needs. Raises ContestantFailed when they cannot be made."""
    if contestant.kind is Kind.DULY:
        if "duly" not in ground.templates:
            ground.templates["duly"] = _migrated(ground)
        return ground.create(ground.templates["duly"])
    if not contestant.stores:
        return ground.create()
    if "naive" not in ground.templates:
        template = ground.server.create()
        ground.server.execute(template, naive.SCHEMA)
        ground.templates["naive"] = template
    return ground.create(ground.templates["naive"])


def _migrated(ground: Ground) -> str:
    database = ground.server.create()
    environment = _environment(ground, database)
    try:
        done = subprocess.run(
            [str(DULY), "migrate"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=MIGRATE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContestantFailed(f"duly migrate did not run: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
        raise ContestantFailed(f"duly migrate ended with {done.returncode}: {lines[-1]}")
    return database


def clean_environment() -> dict[str, str]:
    """The caller's environment without Duly's settings: a run is the same whatever is set around it.

    Bytecode is kept, as it is unless a variable forbids it: else every start compiles every library anew.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"PYTHONPATH": str(ROOT)}


def _environment(ground: Ground, database: str) -> dict[str, str]:
    url = ground.server.url(database)
    return clean_environment() | {"DULY_DATABASE_URL": url, "BENCHMARK_DATABASE_URL": url}


def _environment_of(start: Start) -> dict[str, str]:
    naive_settings = {"BENCHMARK_ROLES": ",".join(start.roles), "BENCHMARK_WORKERS": str(start.naive_workers)}
    return naive_settings | dict(start.environment)
