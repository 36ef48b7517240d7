"""Service over several cells in the event loop of the test: schemas of one database, each behind a proxy of its own."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from duly.cells.node_group import NodeGroup
from duly.cells.router import cells_app
from duly.cli.http_server import http_server
from duly.domain.builtin_types import chosen_builtin_types
from duly.domain.cells import CellNumber, cell_of, cell_of_key
from duly.domain.database_clock import DatabaseClock
from duly.domain.job import DEFAULT_TENANT
from duly.domain.node_role import Role
from duly.handlers.discovery import load_registry
from duly.handlers.http_request import client_for_jobs
from duly.node import Node
from duly.node.process_parts import ProcessParts
from duly.settings import Settings
from duly.store.postgres.catalog_types import CatalogTypesConnection
from duly.store.postgres.database import Database
from tests.support.invariants import violations_on
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.service import BOUND_SECONDS, KEYRING, NO_TLS, Service, eventually, settings_of_tests
from tests.support.shared_routes import shared_routes

CELLS = 4


def schema_of(cell: int) -> str:
    return f"cell_{cell}"


def key_in(cell: int, *, beside: str = "") -> str:
    """Returns a key of a cell that begins with a text."""
    return next(text for n in range(10_000) if cell_of_key(DEFAULT_TENANT, text := f"{beside}{n}", CELLS) == cell)


@dataclass(frozen=True, slots=True)
class CellDatabase:
    """Database with the schemas of all cells. `proxies`: those before each cell."""

    url: str
    proxies: tuple[PostgresProxy, ...]

    @property
    def count(self) -> int:
        return len(self.proxies)

    def database(self, cell: int, **settings: Any) -> Database:
        """Returns the database of a cell, through its proxy."""
        return Database(self.proxies[cell].url, schema=schema_of(cell), **settings)

    @asynccontextmanager
    async def connection(self, cell: int) -> AsyncIterator[Any]:
        """Yields a connection of the tests to a cell, past its proxy."""
        settings = {"application_name": "tests", "search_path": schema_of(cell)}
        connection = await asyncpg.connect(self.url, server_settings=settings, connection_class=CatalogTypesConnection)
        try:
            yield connection
        finally:
            await connection.close()

    async def violations(self) -> list[str]:
        """Returns the violated invariants of all cells."""
        found = []
        for cell in range(self.count):
            async with self.connection(cell) as connection:
                found += [f"cell {cell}: {sentence}" for sentence in await violations_on(connection)]
        return found


@asynccontextmanager
async def cell_database(url: str, count: int = CELLS) -> AsyncIterator[CellDatabase]:
    """Yields a database that has the schemas of this many cells; fails after the block if an invariant is violated."""
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(postgres_proxy(url)) for _ in range(count)]
        cells = CellDatabase(url, tuple(proxies))
        yield cells
        for proxy in proxies:
            proxy.thaw()
    found = await cells.violations()
    assert not found, found


@dataclass
class CellService(Service):
    """Running process with several cells. `node` is that of cell 0.

    Attributes:
        group: the nodes of all cells.
        cells: their database.
    """

    group: NodeGroup = field(kw_only=True)
    cells: CellDatabase = field(kw_only=True)

    @property
    def nodes(self) -> list[Node]:
        return list(self.group.nodes)

    @property
    def count(self) -> int:
        return self.cells.count

    async def job(self, job_id: str) -> dict[str, Any]:
        """Returns a job; on a busy machine, its cell may be taken for one that is away for a moment."""

        async def read() -> dict[str, Any] | None:
            answer = await self.client.get(f"/api/v1/jobs/{job_id}")
            if answer.status_code == 503:
                return None
            assert answer.status_code == 200, answer.text
            view: dict[str, Any] = answer.json()
            return view

        view: dict[str, Any] = await eventually(read)
        return view

    async def request(self, method: str, path: str, *, away: Container[int] = (), **options: Any) -> httpx.Response:
        """Returns the response to a request. On a busy machine a cell may be taken for one that is away for a moment;
        the request is then repeated, unless that is one of `away`.
        """

        async def once() -> httpx.Response | None:
            answer = await self.client.request(method, path, **options)
            passes = answer.status_code == 503 and answer.json()["error"]["details"].get("cell") not in away
            return None if passes else answer

        answer: httpx.Response = await eventually(once)
        return answer

    def cell_of(self, id_: str | UUID) -> int:
        """Returns the number of the cell of an id."""
        return cell_of(UUID(str(id_)), self.count)

    def node_of(self, id_: str | UUID) -> Node:
        return self.group.nodes[self.cell_of(id_)]

    def key_beside(self, id_: str | UUID, text: str) -> str:
        return key_in(self.cell_of(id_), beside=text)

    def newest_first(self, ids: Sequence[str]) -> list[str]:
        return sorted(ids, reverse=True)  # each cell makes ids by the clock of its database

    async def whole(self, path: str, **options: Any) -> httpx.Response:
        """Returns the response to a GET in which no cell is away, as it may be for a moment on a busy machine."""

        async def once() -> httpx.Response | None:
            answer = await self.request("GET", path, **options)
            return None if "Duly-Cells-Away" in answer.headers else answer

        answer: httpx.Response = await eventually(once)
        return answer

    async def sql(self, statement: str | int, *arguments: Any) -> list[Any]:
        """Runs a statement on a connection of the tests.

        Args:
            statement: the number of a cell, before the statement; without it, the statement runs in the cell of its
                first argument that is an id, or else in all cells, whose rows are returned in order of the cells.
            arguments: the arguments of the statement.
        """
        if isinstance(statement, int):
            cells, text, given = [statement], arguments[0], arguments[1:]
        else:
            found = [self.cell_of(each) for each in arguments if isinstance(each, UUID)]
            cells, text, given = found[:1] or list(range(self.count)), statement, arguments
        rows: list[Any] = []
        for cell in cells:
            async with self.cells.connection(cell) as connection:
                rows += await connection.fetch(text, *given)
        return rows

    @asynccontextmanager
    async def connection(self, id_: str | UUID | None = None) -> AsyncIterator[Any]:
        async with self.cells.connection(self.cell_of(id_) if id_ is not None else 0) as connection:
            yield connection

    def database(self) -> Database:
        return Database(self.cells.url, schema=schema_of(0))

    async def sql_in_one(self, statement: str, *arguments: Any) -> list[Any]:
        return await self.sql(0, statement, *arguments)

    async def sql_in_all(self, statement: str, *arguments: Any) -> list[Any]:
        return [row for cell in range(self.count) for row in await self.sql(cell, statement, *arguments)]

    async def violations(self) -> list[str]:
        return await self.cells.violations()

    @contextmanager
    def silent(self, cell: int) -> Iterator[None]:
        """Lets a cell answer nothing for the block, with open connections."""
        self.cells.proxies[cell].freeze()
        try:
            yield
        finally:
            self.cells.proxies[cell].thaw()

    async def take_away(self, cell: int) -> None:
        """Cuts the connections of a cell and refuses new ones; returns when the process knows."""
        self.cells.proxies[cell].refuse()
        await self.until_serves(cell, serves=False)

    async def bring_back(self, cell: int) -> None:
        """Accepts connections of a cell again; returns when the process uses it."""
        await self.cells.proxies[cell].accept()
        await self.until_serves(cell, serves=True)

    async def until_serves(self, cell: int, *, serves: bool) -> None:
        """Waits until the process knows whether a cell serves."""

        async def look() -> bool:
            return self.group.serves(cell) is serves

        await eventually(look, seconds=4 * BOUND_SECONDS)


class GatheredService(CellService):
    """Running process with several cells, whose jobs are in cell 0 unless an id or a schedule places them. Statements
    of the test are of that cell.
    """

    async def sql(self, statement: str | int, *arguments: Any) -> list[Any]:
        if isinstance(statement, int) or any(isinstance(each, UUID) for each in arguments):
            return await super().sql(statement, *arguments)
        return await super().sql(0, statement, *arguments)


@asynccontextmanager
async def running_cells(
    cells: CellDatabase, *, clock: DatabaseClock | None = None, gathered: bool = False, **settings: Any
) -> AsyncIterator[CellService]:
    """Starts a process with a node for each cell, a router and an HTTP server; drains and stops it after the block.

    Args:
        cells: the database.
        clock: that of the machine is the clock of each node.
        gathered: True: yields a `GatheredService`.
        settings: the settings of the process.
    """
    chosen = settings_of_tests(**settings)
    group = node_group(chosen, cells, clock)
    await group.start()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    app: Any = cells_app(group, shared_routes(serving=Role.API in chosen.roles))
    if gathered:
        app._cells.pinned_queue = partial(_name_in_home, count=cells.count)
    http = http_server(group.nodes[0], app)
    serving = asyncio.create_task(http.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    mark = "&" if "?" in cells.url else "?"
    database_url = f"{cells.url}{mark}search_path={schema_of(0)}" if gathered else cells.url
    kind = GatheredService if gathered else CellService
    await asyncio.wait_for(http.accepting.wait(), BOUND_SECONDS)
    async with httpx.AsyncClient(base_url=url, timeout=BOUND_SECONDS, verify=NO_TLS) as client:
        try:
            yield kind(url, database_url, client, group.nodes[0], group=group, cells=cells)
        finally:
            await group.drain()
            http.stop()
            await serving
            await group.stop()
            listening.close()


@cache
def _name_in_home(tenant_id: int, _type: str, _queue: str | None, *, count: int) -> str:
    """Returns the name of a queue whose jobs are in cell 0, for any queue."""
    return next(name for n in itertools.count() if cell_of_key(tenant_id, name := str(n), count) == 0)


def node_group(settings: Settings, cells: CellDatabase, clock: DatabaseClock | None = None) -> NodeGroup:
    """Returns the nodes of all cells with the tests' handlers, not started."""
    builtin = chosen_builtin_types(settings.builtin_types)
    registry = load_registry(settings.handlers, client=client_for_jobs(settings), builtin=builtin)
    parts = ProcessParts(settings, registry)

    def node(cell: CellNumber) -> Node:
        return Node(
            settings,
            cells.database(cell.number, connections=settings.database_connections),
            registry,
            webhook_secret="whsec_dGVzdA==",  # of tests
            keyring=KEYRING,
            clock=DatabaseClock(wall=clock._wall, cell=cell) if clock is not None else None,
            cell=cell,
            parts=parts,
        )

    return NodeGroup([node(CellNumber(number, cells.count)) for number in range(cells.count)], parts)
