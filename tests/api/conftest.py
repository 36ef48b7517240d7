"""The service that the tests of the contract share, a module at a time: hundreds of answers, few starts."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support import handlers as test_handlers
from tests.support.databases import TestDatabases
from tests.support.postgres import Server
from tests.support.service import Service, running_service


@pytest.fixture(scope="module")
async def contract(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """A running service on a database of this module's own; when its tests are over, every promise must hold in it."""
    test_handlers.forget()
    async with databases_of(server).lent() as url, running_service(url) as running:
        yield running
