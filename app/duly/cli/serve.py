"""Body of `duly serve`: binds the port, opens the database, serves in one process or several, exits."""

import os
import socket
import sys
import threading
from typing import Any

import typer

from duly.cli.command_setup import (
    opened_database,
    read_settings,
    require_key_beyond_loopback,
    require_secret_keys_beyond_loopback,
    secret_keys,
    webhook_secret,
)
from duly.cli.errors import USAGE, stop
from duly.cli.lean_imports import import_server
from duly.cli.startup import Startup
from duly.settings import Settings

HINTS = """
Try it:
  curl -s {url}/api/v1/jobs -H 'Content-Type: application/json' \\
       -d '{{"type": "sleep", "parameters": {{"seconds": 5}}}}'
  curl -s {url}/api/v1/jobs?limit=1
  curl -N {url}/api/v1/jobs/JOB_ID/events/stream
API documentation: {url}/docs. Ctrl-C shuts the service down gracefully.
"""


def run_service(flags: dict[str, Any], *, migrate: bool, hints: bool, reload: bool) -> None:
    """Runs the service until a stop signal, then exits with its exit code."""
    settings = read_settings(flags)
    if reload and settings.processes > 1:
        stop("--reload runs one process; remove --processes and DULY_PROCESSES", code=USAGE)
    if reload and settings.cells is not None:
        stop("--reload serves one database; remove --reload, or DULY_CELLS", code=USAGE)
    if settings.api_key is not None:
        require_secret_keys_beyond_loopback(settings)
    listening = _bind(settings)
    code = _serve(settings, listening, migrate=migrate, hints=hints, reload=reload)
    _leave(code)


def _serve(settings: Settings, listening: socket.socket, *, migrate: bool, hints: bool, reload: bool) -> int:
    address = _address(settings, listening)

    def announce() -> None:
        print(f"Duly is ready on {address}", flush=True)
        if hints:
            print(HINTS.format(url=address), flush=True)

    with opened_database(settings) as database:
        require_key_beyond_loopback(settings, database)
        require_secret_keys_beyond_loopback(settings)
        startup = Startup(
            settings=settings,
            database_url=database.url,
            webhook_secret=webhook_secret(settings),
            secret_keys=secret_keys(settings),
            migrates=migrate or database.server is not None,
            database=database.location,
            address=settings.public_url or address,
            reloads=reload,
        )
        if settings.processes == 1:
            return import_server()(startup, listening, announce=announce, server=database.server)
        from duly.cli.supervisor import serve_many  # noqa: PLC0415  # loads what starts processes

        return serve_many(startup, listening, announce=announce, server=database.server)


def _bind(settings: Settings) -> socket.socket:
    """Returns a socket bound to the port, which does not accept connections yet.

    The port comes first because two services on one port is a common mistake.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        stop(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another port with --port or DULY_PORT (0: any free port)"
        )
    listening.set_inheritable(True)
    return listening


def _address(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"


def _leave(code: int) -> None:
    """Exits even if a thread of a handler never ends; all results are recorded by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(code)
    raise typer.Exit(code)
