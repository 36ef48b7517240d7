"""One process of the service: a node and, around it, its HTTP server."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import cast

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from duly.api.app import create_app
from duly.api.server.acceptor import Acceptor
from duly.api.server.access_lines import refused_line
from duly.api.server.connection_limits import Place, connections_of
from duly.api.server.load_shedding import Admission
from duly.api.server.refusals import refusal_bytes
from duly.api.server.shedding_protocol import Crowd, SheddingProtocol
from duly.api.server.socket_protocol import SocketProtocol
from duly.cli.environment import new_database, say
from duly.cli.prepare_database import CannotServe, prepare, recognise_keys
from duly.domain.sealing import Keyring
from duly.embedded.server import EmbeddedServer, listens, revive
from duly.errors import DulyError, Overloaded, TooManyConnections
from duly.handlers.discovery import load_registry
from duly.handlers.exceptions import HandlerError
from duly.handlers.http_request import client_for_jobs
from duly.loop import Loop
from duly.node import Node
from duly.settings import Settings, unknown_variables
from duly.store.postgres.database import DatabaseError
from duly.telemetry.structured_logs import configure_logs

log = structlog.stdlib.get_logger("duly.serve")

REVIVE_SECONDS = 1.0
LAST_REQUESTS_SECONDS = 5
LOOK_SECONDS = 0.005
DATE_SECONDS = 1.0
# So many more objects than went are made between two looks for garbage; Python's own figure is 700.
YOUNG_OBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class Startup:
    """What a process is told when it starts; plain enough to be sent to a child."""

    settings: Settings
    database_url: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    secret_keys: str = field(repr=False)
    migrates: bool


def serve_one(
    startup: Startup,
    listening: socket.socket,
    *,
    announce: Callable[[], None],
    server: EmbeddedServer | None = None,
    parent: int | None = None,
) -> int:
    """Serves until told to stop. Returns the exit code.

    Args:
        announce: called once requests are answered.
        server: the embedded database, where this process looks after it.
        parent: a file descriptor that ends when the parent process does.
    """
    settings = startup.settings
    configure_logs(settings.log_format, settings.log_level)
    try:
        # Not closed by a runner: that would wait for threads of handlers that never end.
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_serve(startup, listening, announce=announce, server=server, parent=parent))
    except (CannotServe, HandlerError) as error:
        say(str(error))
        return 1
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
    registry = load_registry(settings.handlers, client=client_for_jobs(settings))
    if unknown := unknown_variables():
        log.warning(f"unknown settings: {', '.join(unknown)}", action="settings_unknown", names=unknown)
    database = new_database(settings, startup.database_url)
    await prepare(database, migrates=startup.migrates)
    keyring = Keyring.read(startup.secret_keys)
    await recognise_keys(database, keyring)
    node = Node(settings, database, registry, webhook_secret=startup.webhook_secret, keyring=keyring)
    try:
        await node.start()
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    http = http_server(node)
    serving = asyncio.create_task(http.serve(sockets=[listening]))
    reviving = asyncio.create_task(Loop("embedded", Keeper(server).step).run()) if server else None
    accepting = asyncio.create_task(http.accepting.wait())
    await asyncio.wait([accepting, serving], return_when=asyncio.FIRST_COMPLETED)
    if not http.accepting.is_set():
        await node.stop()
        raise CannotServe(f"the HTTP server ended before it served: {serving.exception() or 'the log says why'}")
    _spare_the_collector()
    announce()
    await asyncio.wait([asyncio.create_task(stopping.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
    await node.drain()
    http.stop()
    await serving
    await node.stop()
    if reviving:
        reviving.cancel()


def _spare_the_collector() -> None:
    """What was imported and composed lives as long as the process: it need not be looked through for garbage again and
    again, and fewer looks find what requests and jobs leave behind in good time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


class _Server(uvicorn.Server):
    """Accepts by itself, and leaves the signals to the node: it drains before its server stops."""

    def __init__(self, config: uvicorn.Config, *, node: Node) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._stopping = asyncio.Event()
        self._root_path = node.settings.root_path
        self._shared = node.settings.processes > 1
        self._admission = Admission()
        self._metrics = node.metrics
        self._refused, self._access = node.metrics.refused.labels(Overloaded.code), node.access
        self._crowd = Crowd(refused=self._shed)
        self._connections = connections_of(node)

    def _shed(self) -> None:
        self._refused.inc()
        self._access.shed()

    def _make_protocol(self, connection: socket.socket, place: Place) -> SheddingProtocol:
        protocol = SheddingProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state={},
            admission=self._admission,
            crowd=self._crowd,
            connections=self._connections,
            place=place,
            connection=connection,
            root_path=self._root_path,
        )
        protocol.log_refusal = self._log_refusal
        return protocol

    def _log_refusal(self, request_id: str, refusal: DulyError, client: tuple[str, int] | None) -> None:
        """Counts and logs what never reached the application."""
        self._metrics.refused.labels(refusal.code).inc()
        self._access.put(refused_line(request_id, refusal, client))

    def _refuse(self, host: str) -> bytes:
        """Returns the response to a connection that has no place."""
        refusal, request_id = TooManyConnections.here(), token_hex(8)
        self._log_refusal(request_id, refusal, (host, 0))
        return refusal_bytes(refusal, request_id=request_id.encode())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._acceptor = Acceptor(
            sockets or [],
            self._make_protocol,
            connections=self._connections,
            refuse=self._refuse,
            shared=self._shared,
        )
        self._acceptor.start()
        self.accepting.set()

    def stop(self) -> None:
        """Ends `serve` once the requests under way are answered."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Keeps the date of the answers, and waits. uvicorn's own looks ten times a second whether it is to end."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Closes what is idle, lets the rest be answered for some seconds, and cancels what is left then."""
        self._acceptor.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_REQUESTS_SECONDS):
                while state.connections or state.tasks:  # noqa: ASYNC110  # sets of uvicorn's, which wake nobody
                    await asyncio.sleep(LOOK_SECONDS)
        self._connections.close()
        for task in state.tasks:
            task.cancel()
        if state.tasks:
            log.warning(f"{len(state.tasks)} requests were cut short", action="requests_cut", count=len(state.tasks))


def http_server(node: Node, app: ASGIApp | None = None) -> _Server:
    """The HTTP server of this node; `app` where its application is made already."""
    configuration = uvicorn.Config(
        app or create_app(node),
        ws=SocketProtocol,
        # A message that is too large is refused like any other bad one, up to here.
        ws_max_size=2 * node.settings.body_limit,
        ws_ping_interval=15,
        ws_per_message_deflate=False,
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_REQUESTS_SECONDS,
    )
    return _Server(configuration, node=node)


def _stop_signals(parent: int | None) -> asyncio.Event:
    """Set by SIGTERM, SIGINT or the parent's end; a second signal ends the process at once.

    With a parent, SIGINT is the parent's to answer, and so is a second signal: where one goes to the whole group, the
    parent passes it on as well.
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


class Keeper:
    """The embedded server has no other keeper: where it dies, it is started again."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def look(self) -> None:
        """Blocks while it starts a dead server; does next to nothing while it lives."""
        if not listens(self._server):
            log.warning("the embedded PostgreSQL does not answer; it is started again", action="embedded_revived")
            self._server = revive(self._server)

    async def step(self) -> float:
        await asyncio.to_thread(self.look)
        return REVIVE_SECONDS
