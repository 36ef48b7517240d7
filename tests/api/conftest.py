"""Service that the tests of a module share, since starting one takes longer than most tests."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support import handlers as test_handlers
from tests.support.cells_of_run import CELLS_OF_RUN, service_over_cells
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.service import Service, running_service


@pytest.fixture(scope="module")
async def contract(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Returns a running service on a database of this module's own. All invariants must hold after its tests."""
    test_handlers.forget()
    if CELLS_OF_RUN:
        async with service_over_cells(databases_of(server)) as running:
            yield running
        return
    async with databases_of(server).lent() as url, running_service(url) as running:
        yield running
