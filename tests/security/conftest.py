"""The service that the tests of attacks share, a module at a time."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support import handlers as test_handlers
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.service import Service, running_service


@pytest.fixture(scope="module")
async def attacked(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """A running service on a database of this module's own, in which every invariant must hold at the end."""
    test_handlers.forget()
    async with databases_of(server).lent() as url, running_service(url) as running:
        yield running
