"""Contestants: how each is started, and on which database."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import naive_service
from benchmarks.peers import catalog, environments
from benchmarks.peers.catalog import Peer
from benchmarks.processes import ROOT, ContestantFailed, started
from benchmarks.run_context import Kind, RunContext

DULY = Path(sys.executable).with_name("duly")
DULY_READY = r"Duly is ready on http://127\.0\.0\.1:(\d+)"
UVICORN_READY = r"Uvicorn running on http://127\.0\.0\.1:(\d+)"
API_ONLY = ("api",)
ALL_ROLES = ("api", "worker", "dispatcher", "sweeper")
MIGRATE_SECONDS = 180
# The receivers of a run are on the loopback network, which is blocked by default.
CALLBACKS_ALLOWED = {"DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One contestant of a row.

    The hand-written ones have a `factory` of their application; `stores` means that it needs the hand-written table.
    A peer has a library instead.
    """

    name: str
    kind: Kind
    factory: str = ""
    stores: bool = False
    peer: Peer | None = None


DULY_SERVICE = Contestant("Duly", Kind.DULY)
NAIVE = Contestant("naive", Kind.NAIVE, "naive_service:create", stores=True)
ASGI = Contestant("bare ASGI, no database", Kind.CEILING, "ceilings:create_asgi")
STARLETTE = Contestant("Starlette, no database", Kind.CEILING, "ceilings:create_starlette")
FASTAPI = Contestant("FastAPI, no database", Kind.CEILING, "ceilings:create_fastapi")
STARLETTE_BATCHED = Contestant(
    "Starlette, batched INSERT", Kind.CEILING, "ceilings:create_starlette_batched", stores=True
)
STARLETTE_STREAMS = Contestant("Starlette, streams from memory", Kind.CEILING, "ceilings:create_starlette_streams")
FASTAPI_MANY = Contestant("FastAPI, one INSERT for all", Kind.CEILING, "ceilings:create_fastapi_many", stores=True)


def peers_that_submit(context: RunContext) -> tuple[Contestant, ...]:
    """Returns the peers with different bulk calls, so that a library with two worker settings appears once."""
    taking_part = catalog.taking_part(full=context.sizes.full)
    return tuple(_peer(peer, settings=peer.bulk) for peer in taking_part if peer.submits)


def peers_that_run(context: RunContext) -> tuple[Contestant, ...]:
    return tuple(_peer(peer, settings=peer.setup) for peer in catalog.taking_part(full=context.sizes.full))


def _peer(peer: Peer, *, settings: str) -> Contestant:
    return Contestant(f"{peer.name} {environments.version(peer)} ({settings})", Kind.PEER, peer=peer)


@dataclass(frozen=True, slots=True)
class Running:
    pid: int
    port: int
    database: str
    ready_seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """Options of a start: roles, database (default: a new one), environment variables, limit of file descriptors."""

    roles: tuple[str, ...] = ALL_ROLES
    database: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    naive_workers: int = 4
    descriptors: int | None = None


@contextlib.contextmanager
def running(contestant: Contestant, context: RunContext, start: Start) -> Iterator[Running]:
    """Runs the contestant for the length of the block. Raises ContestantFailed if it does not start."""
    database = start.database or new_database(contestant, context)
    duly = contestant.kind is Kind.DULY
    command = duly_command(context, database, start.roles) if duly else uvicorn_command(contestant)
    with started(
        _limited(command, start.descriptors),
        environment=_environment(context, database) | _environment_of(start),
        log=context.folder / f"{database}-{'-'.join(start.roles)}.log",
        ready=DULY_READY if duly else UVICORN_READY,
        stop_cleanly=duly,
    ) as process:
        yield Running(process.pid, process.port, database, process.ready_seconds)
    if start.database is None:
        context.drop(database)


@contextlib.contextmanager
def running_together(context: RunContext, *starts: Start) -> Iterator[list[Running]]:
    """Runs services with different roles on databases that exist, and starts them at the same time."""
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(len(starts)) as threads:
            services = threads.map(lambda start: stack.enter_context(running(DULY_SERVICE, context, start)), starts)
        yield list(services)


def duly_command(context: RunContext, database: str, roles: tuple[str, ...]) -> list[str]:
    """Returns the command as users write it; roles are given only if not all are wanted."""
    url = context.server.url(database)
    command = [
        *duly_program(context),
        "serve",
        "--port",
        "0",
        "--database-url",
        url,
        "--handlers",
        "benchmarks.noop_handler",
    ]
    return command if roles == ALL_ROLES else [*command, *(part for role in roles for part in ("--role", role))]


def duly_program(context: RunContext) -> list[str]:
    """Returns the program of the build that is measured now."""
    return [str(DULY)] if context.source is None else [sys.executable, "-m", "duly"]


def _limited(command: list[str], descriptors: int | None) -> list[str]:
    if descriptors is None:
        return command
    return ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"', *command]


def uvicorn_command(contestant: Contestant) -> list[str]:
    application = f"benchmarks.{contestant.factory}"
    server = [sys.executable, "-m", "uvicorn", "--factory", application, "--host", "127.0.0.1", "--port", "0"]
    return [*server, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "info"]


def new_database(contestant: Contestant, context: RunContext) -> str:
    """Creates a database with the tables the contestant needs. Raises ContestantFailed if that fails."""
    if contestant.kind is Kind.DULY:
        if "duly" not in context.templates:
            context.templates["duly"] = _migrated(context)
        return context.create(context.templates["duly"])
    if not contestant.stores:
        return context.create()
    if "naive" not in context.templates:
        template = context.server.create()
        context.server.execute(template, naive_service.SCHEMA)
        context.templates["naive"] = template
    return context.create(context.templates["naive"])


def _migrated(context: RunContext) -> str:
    database = context.server.create()
    environment = _environment(context, database)
    try:
        done = subprocess.run(
            [*duly_program(context), "migrate"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=MIGRATE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContestantFailed(f"duly migrate did not run: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise ContestantFailed(f"duly migrate ended with {done.returncode}: {lines[-1]}")
    return database


def clean_environment() -> dict[str, str]:
    """Returns the caller's environment without settings of Duly, so that a run does not depend on them.

    PYTHONDONTWRITEBYTECODE is removed too; otherwise each start would compile every library again.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"PYTHONPATH": str(ROOT)}


def duly_environment(context: RunContext) -> dict[str, str]:
    """Returns the environment of the build that is measured now."""
    if context.source is None:
        return clean_environment()
    return clean_environment() | {"PYTHONPATH": os.pathsep.join([str(context.source), str(ROOT)])}


def _environment(context: RunContext, database: str) -> dict[str, str]:
    url = context.server.url(database)
    return duly_environment(context) | {"DULY_DATABASE_URL": url, "BENCHMARK_DATABASE_URL": url}


def _environment_of(start: Start) -> dict[str, str]:
    naive_settings = {"BENCHMARK_ROLES": ",".join(start.roles), "BENCHMARK_WORKERS": str(start.naive_workers)}
    return naive_settings | dict(start.environment)
