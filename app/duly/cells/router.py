"""Cell router: the application of a process with several cells.

A request goes to the application of the cell that its path names (by a job's id, for example), or to the next cell that
serves. There it is authenticated and its body read, as with one cell. Where other cells are concerned, by its body or
by its rule in `duly.cells.rules`, the routes then run with their nodes: routes belong to no node.
"""

from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.app import create_app
from duly.api.batches.batches import PATH as BATCHES
from duly.api.jobs.submit_job import PATH as JOBS
from duly.api.jobs.submit_job import PREFIX
from duly.api.leases.ends import COMPLETIONS as COMPLETIONS_PATH
from duly.api.leases.lease_paths import PATH as LEASES
from duly.api.server.allowed_methods import AddressTable
from duly.api.server.allowed_origins import SOCKET
from duly.api.server.cell_reads import CELLS
from duly.api.server.middleware import BareEndpoints
from duly.api.server.reverse_proxies import Proxies
from duly.api.server.scope_values import tenant_of
from duly.cells.configured_writes import ConfiguredWrites
from duly.cells.lease_claims import ClaimInAll
from duly.cells.lease_lists import COMPLETIONS, HEARTBEATS, ByLeases
from duly.cells.local_call import Cells
from duly.cells.node_group import NodeGroup
from duly.cells.rules import RULES, Rule, cell_in_path, cell_of_target
from duly.cells.socket import SocketOverCells
from duly.cells.submissions import PlacedBatch, PlacedLines, PlacedSubmission
from duly.cells.sums import act_in_all
from duly.domain.cells import cell_of_key

HOME: Final = 0
_SCHEDULES: Final = "/api/v1/schedules/"


class CellRouter:
    """Passes each request to the application of one cell.

    Args:
        cells: the cells.
        routes: the routes of all applications, made by `routes_of`.
        writes: serves changes of the configuration.
    """

    def __init__(self, cells: Cells, routes: FastAPI, writes: ConfiguredWrites) -> None:
        self._cells = cells
        inner = _Wrap(cells, routes.state.addresses, writes)
        self._apps = [create_app(node, routes, wrap=inner) for node in cells.nodes]
        self._proxies = Proxies(cells.nodes[0].settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request or WebSocket."""
        cells, path = self._cells, scope["path"]
        scope[CELLS] = cells
        if self._proxies.any:
            seen = dict(scope)
            self._proxies.see_through(seen)
            path = seen["path"]
        cell = cell_in_path(path, cells.count) if path != JOBS else None
        if cell is None or not cells.serves(cell):
            cell = cells.next_serving()
        await self._apps[cell](scope, receive, send)


class _Wrap:
    """Wraps the routes and the bare endpoints of each cell's application."""

    def __init__(self, cells: Cells, addresses: AddressTable, writes: ConfiguredWrites) -> None:
        self._cells = cells
        self._addresses = addresses
        self._writes = writes

    def __call__(self, routes: ASGIApp, endpoints: BareEndpoints) -> tuple[ASGIApp, BareEndpoints]:
        cells, hot = self._cells, endpoints.hot
        if not hot:  # a process without the role `api`
            return routes, endpoints
        wrapped = BareEndpoints(
            hot={
                ("POST", JOBS): PlacedSubmission(cells, hot["POST", JOBS]),
                ("PUT", PREFIX): PlacedSubmission(cells, hot["PUT", PREFIX]),
                ("POST", BATCHES): PlacedBatch(cells, hot["POST", BATCHES]),
                ("POST", LEASES): ClaimInAll(cells),
                ("POST", COMPLETIONS_PATH): ByLeases(cells, COMPLETIONS, hot["POST", COMPLETIONS_PATH]),
            },
            lines={BATCHES: PlacedLines(cells, endpoints.lines[BATCHES])},
            sockets={SOCKET: SocketOverCells(cells, endpoints.sockets[SOCKET])},
        )
        return RoutesOverCells(cells, routes, self._addresses, self._writes), wrapped


class RoutesOverCells:
    """Routes of an application whose requests are authenticated: each runs in the cell, or the cells, of its rule.

    Args:
        cells: the cells.
        routes: the routes.
        addresses: all addresses.
        writes: serves changes of the configuration.
    """

    def __init__(self, cells: Cells, routes: ASGIApp, addresses: AddressTable, writes: ConfiguredWrites) -> None:
        self._cells = cells
        self._routes = routes
        self._addresses = addresses
        self._writes = writes
        self._heartbeats = ByLeases(cells, HEARTBEATS, routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        cells = self._cells
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if (cell := cell_in_path(path, cells.count)) is not None:
            await cells.forward(cell, scope, receive, send)
            return
        pattern = self._addresses.pattern_of(path) or ""
        match RULES.get((scope["method"], pattern), Rule.ANY):
            case Rule.WRITTEN:
                await self._writes(pattern, path, scope, receive, send)
            case Rule.HOME:
                reads_copy = scope["method"] in {"GET", "HEAD"} and not cells.serves(HOME)
                await cells.forward(cells.next_serving() if reads_copy else HOME, scope, receive, send)
            case Rule.BY_SCHEDULE:
                name = path.removeprefix(_SCHEDULES).partition("/")[0]
                await cells.forward(cell_of_key(tenant_of(scope), name, cells.count), scope, receive, send)
            case Rule.BY_TARGET:
                if (target := cell_of_target(scope, cells.count)) is not None:
                    cells.move(scope, target)
                await self._routes(scope, receive, send)
            case Rule.BY_LEASES:
                await self._heartbeats(scope, receive, send)
            case Rule.SUMMED:
                await act_in_all(cells, scope, receive, send)
            case _:
                await self._routes(scope, receive, send)


def cells_app(group: NodeGroup, routes: FastAPI) -> ASGIApp:
    """Returns the application of a process with several cells."""
    cells = Cells(group.nodes, routes, serves=group.serves, pinned=group.pinned)
    return CellRouter(cells, routes, ConfiguredWrites(cells, group.copier))
