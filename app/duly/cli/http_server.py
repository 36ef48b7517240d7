"""The HTTP server of a process: uvicorn with an acceptor, limits and a stop of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from duly.api.app import create_app
from duly.api.server.acceptor import Acceptor
from duly.api.server.access_lines import refused_line
from duly.api.server.connection_limits import Place, connections_of
from duly.api.server.date_header import DatedState
from duly.api.server.header_checks import new_request_id
from duly.api.server.load_shedding import LoadShedder
from duly.api.server.refusals import refusal_bytes
from duly.api.server.security_headers import SERVER_HEADERS
from duly.api.server.shedding_protocol import PausedConnections, SheddingProtocol
from duly.api.server.socket_protocol import SocketProtocol
from duly.domain.counted_noun import counted_noun
from duly.errors import DulyError, Overloaded, TooManyConnections
from duly.node import Node

log = structlog.stdlib.get_logger("duly.serve")

LAST_REQUESTS_SECONDS = 5
LOOK_SECONDS = 0.005


class HttpServer(uvicorn.Server):
    """HTTP server with an acceptor of its own. It leaves signals to the node, which drains before the server stops."""

    def __init__(self, config: uvicorn.Config, *, node: Node) -> None:
        super().__init__(config)
        self.server_state = DatedState()
        self.accepting = asyncio.Event()
        self._stopping = asyncio.Event()
        self._root_path = node.settings.root_path
        self._shared = node.settings.processes > 1
        self._load_shedder = LoadShedder()
        self._metrics = node.metrics
        self._refused, self._access = node.metrics.refused.labels(Overloaded.code), node.access
        self._paused = PausedConnections(refused=self._shed)
        self._connections = connections_of(node)

    def _shed(self) -> None:
        self._refused.inc()
        self._access.shed()

    def _make_protocol(self, connection: socket.socket, place: Place) -> SheddingProtocol:
        protocol = SheddingProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state={},
            load_shedder=self._load_shedder,
            paused=self._paused,
            connections=self._connections,
            place=place,
            connection=connection,
            root_path=self._root_path,
        )
        protocol.log_refusal = self._log_refusal
        return protocol

    def _log_refusal(self, request_id: str, refusal: DulyError, client: tuple[str, int] | None) -> None:
        """Counts and logs a refusal that did not reach the application."""
        self._metrics.refused.labels(refusal.code).inc()
        self._access.put(refused_line(request_id, refusal, client))

    def _refuse(self, host: str) -> bytes:
        """Returns the response to a connection beyond the limits."""
        refusal, request_id = TooManyConnections.here(), new_request_id()
        self._log_refusal(request_id.decode(), refusal, (host, 0))
        return refusal_bytes(refusal, request_id=request_id)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.server_state.default_headers = self.config.encoded_headers
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
        """Ends `serve` once the requests in progress are answered."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Waits for the stop. uvicorn's own loop polls ten times a second."""
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # signature of uvicorn
        """Closes idle connections, gives requests in progress some seconds, then cancels them."""
        self._acceptor.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_REQUESTS_SECONDS):
                while state.connections or state.tasks:  # noqa: ASYNC110  # uvicorn's sets have no event to wait for
                    await asyncio.sleep(LOOK_SECONDS)
        self._connections.close()
        for task in state.tasks:
            task.cancel()
        if state.tasks:
            log.warning(
                f"{counted_noun(len(state.tasks), 'request')} cancelled at shutdown",
                action="requests_cut",
                count=len(state.tasks),
            )


def http_server(node: Node, app: ASGIApp | None = None) -> HttpServer:
    """Returns the HTTP server of a node. `app` is its application, created here if None."""
    configuration = uvicorn.Config(
        app or create_app(node),
        ws=SocketProtocol,
        # Messages up to this size are refused by the application, with an error.
        ws_max_size=2 * node.settings.body_limit,
        ws_ping_interval=15,
        ws_per_message_deflate=False,
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        headers=SERVER_HEADERS,
        timeout_graceful_shutdown=LAST_REQUESTS_SECONDS,
    )
    return HttpServer(configuration, node=node)
