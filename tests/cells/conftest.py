"""Fixtures of the tests with several cells: four schemas of one database, and a process that serves them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support import handlers as test_handlers
from tests.support.cells import CELLS, CellDatabase, CellService, cell_database, running_cells
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server

DatabasesOf = Callable[[Server], TestDatabases]


@pytest.fixture
async def cell_databases(server: Server, databases_of: DatabasesOf) -> AsyncIterator[CellDatabase]:
    """Migrated database with four cells for one test. After the test, all invariants must hold in each of them."""
    test_handlers.forget()
    async with databases_of(server).cells(CELLS) as url, cell_database(url) as cells:
        yield cells


@pytest.fixture
async def cells(cell_databases: CellDatabase) -> AsyncIterator[CellService]:
    """Running process with four cells."""
    async with running_cells(cell_databases) as running:
        yield running


@pytest.fixture
async def start_cells(cell_databases: CellDatabase) -> AsyncIterator[Callable[..., Any]]:
    """Function that starts processes with the given settings, also several on the same cells."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> CellService:
            return await stack.enter_async_context(running_cells(cell_databases, **settings))

        yield start


@pytest.fixture(scope="module")
async def shared_cells(server: Server, databases_of: DatabasesOf) -> AsyncIterator[CellService]:
    """Running process with four cells for all tests of a module, which must not depend on an empty one."""
    test_handlers.forget()
    async with databases_of(server).cells(CELLS) as url, cell_database(url) as cells, running_cells(cells) as running:
        yield running
