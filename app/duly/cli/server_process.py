"""One process of the service: its start on a prepared database, and its stop by a signal."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import structlog
import uvloop
from starlette.types import ASGIApp

from duly.cli.command_setup import data_dir, is_loopback, new_database
from duly.cli.database_wait import DatabaseWait, StartStopped
from duly.cli.errors import say
from duly.cli.http_server import http_server
from duly.cli.prepare_database import CannotServe, recognise_keys, recognise_only, requires_key, try_to_prepare
from duly.cli.reload import Reloader
from duly.cli.start_report import report_start
from duly.cli.startup import Keeper, Startup
from duly.domain.builtin_types import chosen_builtin_types
from duly.domain.sealing import Keyring
from duly.embedded.server import EmbeddedServer
from duly.handlers.discovery import load_registry
from duly.handlers.exceptions import HandlerError
from duly.handlers.http_request import client_for_jobs
from duly.handlers.registry import Registry
from duly.handlers.reloading import HandlerSource
from duly.loop import Loop
from duly.node import Node
from duly.settings import Settings, unknown_variables
from duly.store.postgres.database import DatabaseError
from duly.telemetry.structured_logs import configure_logs

if TYPE_CHECKING:
    from duly.cells.node_group import NodeGroup

log = structlog.stdlib.get_logger("duly.serve")

# Surplus of allocations over deallocations that starts a garbage collection; Python's default is 700.
YOUNG_OBJECTS = 10_000


def serve_one(
    startup: Startup,
    listening: socket.socket,
    *,
    announce: Callable[[], None],
    server: EmbeddedServer | None = None,
    parent: int | None = None,
) -> int:
    """Serves until a stop signal. Returns the exit code.

    Args:
        announce: called once requests are accepted.
        server: the embedded database, if this process supervises it.
        parent: a file descriptor that reaches its end when the parent process dies.
    """
    settings = startup.settings
    configure_logs(settings.log_format, settings.log_level)
    try:
        # No runner, which would wait for threads of handlers that never end.
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_serve(startup, listening, announce=announce, server=server, parent=parent))
    except (CannotServe, HandlerError) as error:
        say(str(error))
        return 1
    except StartStopped:
        log.info("stopped before the database answered", action="start_stopped")
    return 0


async def _serve(
    startup: Startup,
    listening: socket.socket,
    *,
    announce: Callable[[], None],
    server: EmbeddedServer | None,
    parent: int | None,
) -> None:
    stopping = _stop_signals(parent)
    settings = startup.settings
    load = _registry_loader(settings)
    source = HandlerSource(load) if startup.reloads else None
    awaited = DatabaseWait(settings.database_wait_seconds, stopping)
    registry = source.load() if source else load()
    try:
        served = await _served_by(startup, registry, awaited)
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    node = served.node
    node.gauges.database_folder = data_dir(settings) if server is not None else None
    http = http_server(node, served.app)
    # Both block the event loop, for a tenth of a second together: before the node starts jobs.
    http.config.load()
    _freeze_garbage_collector()
    try:
        await awaited.retried(served.start)
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    if node.key_verifier.anyone is not None and not is_loopback(settings.host):  # checked before, and must never be
        await served.nodes.stop()
        raise CannotServe("an API key is required to listen beyond loopback")
    serving = asyncio.create_task(http.serve(sockets=[listening]))
    reviving = asyncio.create_task(Loop("embedded", Keeper(server).step).run()) if server else None
    accepting = asyncio.create_task(http.accepting.wait())
    await asyncio.wait([accepting, serving], return_when=asyncio.FIRST_COMPLETED)
    if not http.accepting.is_set():
        await served.nodes.stop()
        raise CannotServe(f"the HTTP server stopped during its start: {serving.exception() or 'see the log'}")
    announce()
    async with _reloading(node, source):
        await asyncio.wait([asyncio.create_task(stopping.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
    await served.nodes.drain()
    http.stop()
    await serving
    await served.nodes.stop()
    if reviving:
        reviving.cancel()


def _registry_loader(settings: Settings) -> Callable[[], Registry]:
    """Returns a function that imports the handlers of a service."""
    builtin = chosen_builtin_types(settings.builtin_types)
    return partial(load_registry, settings.handlers, client=client_for_jobs(settings), builtin=builtin)


class _Served(NamedTuple):
    """Nodes and application of a process. `node`: the only one, or that of cell 0; `app`: None for that of the node."""

    node: Node
    nodes: "Node | NodeGroup"
    start: Callable[[], Awaitable[None]]
    app: ASGIApp | None = None


async def _served_by(startup: Startup, registry: Registry, awaited: DatabaseWait) -> _Served:
    """Returns the node of the database, or those of all cells.

    Raises:
        CannotServe, DatabaseError: the database cannot be used.
    """
    if startup.settings.cells is None:
        node = await _new_node(startup, registry, awaited)
        return _Served(node, node, node.start)
    from duly.cli.cell_nodes import CellNodes  # noqa: PLC0415  # of installations with several cells

    cells = CellNodes(startup, registry, awaited)
    await cells.prepare()
    _warn_of_unknown_settings()
    return _Served(cells.group.nodes[0], cells.group, cells.start, cells.app())


async def _new_node(startup: Startup, registry: Registry, awaited: DatabaseWait) -> Node:
    """Returns the node on its prepared database, after the report of the start.

    Raises:
        CannotServe, DatabaseError: the database cannot be used.
    """
    settings = startup.settings
    database, keyed = new_database(settings, startup.database_url), None
    try:
        await awaited.retried(partial(try_to_prepare, database, migrates=startup.migrates))
        await awaited.retried(partial(recognise_only, database, writes=startup.migrates))
        keyed = await awaited.retried(partial(requires_key, database, settings))
    finally:
        report_start(startup, registry, keyed=keyed)
    _warn_of_unknown_settings()
    keyring = Keyring.read(startup.secret_keys)
    await awaited.retried(partial(recognise_keys, database, keyring))
    return Node(settings, database, registry, webhook_secret=startup.webhook_secret, keyring=keyring)


def _warn_of_unknown_settings() -> None:
    if unknown := unknown_variables():
        log.warning(f"unknown settings: {', '.join(unknown)}", action="settings_unknown", names=unknown)


@contextlib.asynccontextmanager
async def _reloading(node: Node, source: HandlerSource | None) -> AsyncIterator[None]:
    """Exchanges the handlers when their source changes, while the block runs. None: never."""
    if source is None:
        yield
        return
    task = asyncio.create_task(Loop("reload", Reloader(node, source).step).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _freeze_garbage_collector() -> None:
    """Excludes objects that live as long as the process from garbage collection, and makes collections rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


def _stop_signals(parent: int | None) -> asyncio.Event:
    """Returns an event that SIGTERM, SIGINT or the death of the parent sets; a second signal kills the process.

    With a parent, SIGINT and a second signal are handled by the parent, which forwards a signal that the whole process
    group received as well.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set() and parent is None:
            sys.stderr.flush()
            signal.raise_signal(signal.SIGKILL)
        stopping.set()

    def gone() -> None:
        loop.remove_reader(cast("int", parent))
        stopping.set()

    loop.add_signal_handler(signal.SIGTERM, stop)
    if parent is None:
        loop.add_signal_handler(signal.SIGINT, stop)
    else:
        loop.add_reader(parent, gone)
    return stopping
