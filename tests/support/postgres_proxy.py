"""TCP proxy before a PostgreSQL server: it can refuse and cut connections, relay nothing, as a cell that is away, or
rename prepared statements, as poolers do.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from duly.store.postgres.database_url import parse_url
from tests.support.tcp_servers import free_port


class PostgresProxy:
    """Relays connections to the server of a database URL.

    Args:
        renames: words of clients, by those of the same length that the server receives instead.
    """

    def __init__(self, url: str, *, renames: Mapping[bytes, bytes] | None = None) -> None:
        self._renames = renames or {}
        self._parts = urlsplit(parse_url(url).urls[0])
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._open: set[_Side] = set()
        self._frozen = False

    @property
    def url(self) -> str:
        """Returns the URL of the database behind the proxy."""
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(("postgresql", f"{user}{at}127.0.0.1:{self._port}", self._parts.path, "", ""))

    @property
    def connections(self) -> int:
        """Number of open connections of clients."""
        return sum(side.is_of_client for side in self._open)

    async def accept(self) -> None:
        """Accepts connections, as at the start, or as a server that is back."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self), "127.0.0.1", self._port)

    def refuse(self) -> None:
        """Refuses new connections, and cuts those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for side in list(self._open):
            side.cut()

    def freeze(self) -> None:
        """Relays nothing more in either direction; new connections are accepted, and not answered."""
        self._frozen = True
        for side in self._open:
            side.pause()

    def thaw(self) -> None:
        """Relays what was held back, and goes on."""
        self._frozen = False
        for side in self._open:
            side.resume()

    def renamed(self, data: bytes) -> bytes:
        """Returns what the server receives instead of the data of a client."""
        for word, other in self._renames.items():
            assert len(word) == len(other)
            data = data.replace(word, other)
        return data

    async def connect(self, side: "_Side") -> None:
        """Connects an accepted connection to the server."""
        loop, there = asyncio.get_running_loop(), _Side(self, side)
        given = dict(parse_qsl(self._parts.query))
        if (folder := given.get("host", "")).startswith("/"):
            await loop.create_unix_connection(lambda: there, f"{folder}/.s.PGSQL.{given.get('port', 5432)}")
            return
        await loop.create_connection(lambda: there, self._parts.hostname or "127.0.0.1", self._parts.port or 5432)

    def opened(self, side: "_Side") -> None:
        self._open.add(side)
        if self._frozen:
            side.pause()

    def closed(self, side: "_Side") -> None:
        self._open.discard(side)


class _Side(asyncio.Protocol):
    """One side of a relayed connection. `other`: the side of the client, for the side of the server."""

    def __init__(self, proxy: PostgresProxy, other: "_Side | None" = None) -> None:
        self._proxy = proxy
        self._other = other
        self.is_of_client = other is None
        self._held: list[bytes] = []
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._proxy.opened(self)
        if self._other is None:
            self._connecting = asyncio.create_task(self._proxy.connect(self))
        else:
            self._other.join(self)

    def join(self, other: "_Side") -> None:
        self._other = other
        self._pass_on()

    def data_received(self, data: bytes) -> None:
        self._held.append(self._proxy.renamed(data) if self.is_of_client else data)
        self._pass_on()

    def _pass_on(self) -> None:
        other = self._other
        if other is None or other._transport is None or self._paused:
            return
        held, self._held = self._held, []
        for piece in held:
            other._transport.write(piece)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._proxy.closed(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._other is not None and self._other._transport is not None:
            self._other._transport.close()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._pass_on()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@asynccontextmanager
async def postgres_proxy(url: str, *, renames: Mapping[bytes, bytes] | None = None) -> AsyncIterator[PostgresProxy]:
    """Runs a proxy before the server of a URL on a free loopback port."""
    proxy = PostgresProxy(url, renames=renames)
    await proxy.accept()
    try:
        yield proxy
    finally:
        proxy.thaw()
        proxy.refuse()
        await asyncio.sleep(0)  # lets both sides of each connection end
