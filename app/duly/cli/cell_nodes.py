"""Nodes of a process with several cells: their databases are prepared and recognised before they start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from starlette.types import ASGIApp

from duly.api.app import routes_of
from duly.cells.cell_list import cell_list, database_of
from duly.cells.installation import Installation
from duly.cells.node_group import CellNotReady, NodeGroup
from duly.cells.router import cells_app
from duly.cells.share_of_cell import cells_of_process, settings_of_cell
from duly.cli.database_wait import DatabaseWait
from duly.cli.prepare_database import CannotServe, recognise_keys, requires_key, try_to_prepare
from duly.cli.start_report import report_start
from duly.cli.startup import Startup
from duly.domain.cell_record import WrongCell
from duly.domain.cells import Cell, CellNumber
from duly.domain.node_role import Role
from duly.domain.sealing import Keyring
from duly.handlers.registry import Registry
from duly.node import Node
from duly.node.process_parts import ProcessParts
from duly.store.postgres.database import Database, DatabaseError


class CellNodes:
    """The nodes of a process, and the cells that do not answer at its start.

    Args:
        startup: the configuration of this process.
        registry: its handlers.
        awaited: waits for databases that do not answer.
    """

    def __init__(self, startup: Startup, registry: Registry, awaited: DatabaseWait) -> None:
        self._startup = startup
        self._awaited = awaited
        self._keyring = Keyring.read(startup.secret_keys)
        settings = startup.settings
        cells = cell_list(settings)
        self._installation = Installation(len(cells), writes=startup.migrates)
        parts = ProcessParts(settings, registry)
        nodes = [self._node(cell, registry, parts, count=len(cells)) for cell in cells_of_process(settings, cells)]
        self._databases = {node.cell.number: node.database for node in nodes}
        self.group = NodeGroup(nodes, parts, prepare=self._prepare_late)
        self.away: set[int] = set()

    def _node(self, cell: Cell, registry: Registry, parts: ProcessParts, *, count: int) -> Node:
        own = settings_of_cell(self._startup.settings, cell, count=count)
        return Node(
            own,
            database_of(cell, own),
            registry,
            webhook_secret=self._startup.webhook_secret,
            keyring=self._keyring,
            cell=CellNumber(cell.number, count),
            parts=parts,
        )

    def app(self) -> ASGIApp:
        """Returns the application of the process."""
        return cells_app(self.group, routes_of(serving=Role.API in self._startup.settings.roles))

    async def prepare(self) -> None:
        """Prepares the databases of all cells, and waits for those that do not answer; then reports the start.

        Raises:
            CannotServe: one is not the cell that the list says, or cannot be used, or none answers.
            StartStopped: a stop signal came first.
        """
        startup, keyed = self._startup, None
        try:
            errors = await _each({cell: partial(self._prepared, cell) for cell in self._databases})
            self._stop_if_wrong(errors)
            reached = {cell: database for cell, database in self._databases.items() if cell not in errors}
            if not reached:
                raise CannotServe(f"no cell answers; cell {min(errors)}: {_words(errors[min(errors)])}")
            errors |= await self._installation.recognise(reached)
            self._stop_if_wrong(errors)
            keyed = await requires_key(next(iter(reached.values())), startup.settings)
        except DatabaseError as error:
            raise CannotServe(error.line) from None
        finally:
            report_start(startup, self.group.parts.registry, keyed=keyed)
        self.away = set(errors)

    async def start(self) -> None:
        """Starts the nodes of the cells that answer."""
        await self.group.start(away=self.away)

    async def _prepared(self, cell: int) -> None:
        """Prepares the database of a cell once it answers."""
        await self._awaited.retried(partial(self._prepare, cell, self._databases[cell]))

    async def _prepare(self, cell: int, database: Database) -> None:
        try:
            await try_to_prepare(database, migrates=self._startup.migrates)
            await recognise_keys(database, self._keyring)
        except CannotServe as error:
            raise CannotServe(f"cell {cell}: {error}") from None

    async def _prepare_late(self, node: Node) -> None:
        """Prepares the database of a cell that answers after the start."""
        cell = node.cell.number
        try:
            await self._prepare(cell, node.database)
        except CannotServe as error:
            raise CellNotReady(str(error)) from None
        errors = await self._installation.recognise({cell: node.database})
        for wrong in errors.values():
            raise wrong if isinstance(wrong, DatabaseError) else CellNotReady(str(wrong))

    def _stop_if_wrong(self, errors: Mapping[int, Exception]) -> None:
        """Ends the start if a cell is wrong: an error that it will not get over by itself."""
        for _, error in sorted(errors.items()):
            if isinstance(error, WrongCell | CannotServe):
                raise CannotServe(str(error)) from None
            if not isinstance(error, DatabaseError):
                raise error


async def _each(steps: Mapping[int, Callable[[], Awaitable[object]]]) -> dict[int, Exception]:
    """Runs the steps of all cells at once. Returns the errors."""
    results: list[object] = await asyncio.gather(*(step() for step in steps.values()), return_exceptions=True)
    return {cell: result for cell, result in zip(steps, results, strict=True) if isinstance(result, Exception)}


def _words(error: Exception) -> str:
    return error.line if isinstance(error, DatabaseError) else str(error)
