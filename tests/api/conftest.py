"""The service that the tests of the contract share, a module at a time: hundreds of answers, few starts."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest_asyncio

from tests.support import handlers as test_handlers
from tests.support.invariants import violations
from tests.support.postgres import Server
from tests.support.service import Service, running_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def contract(server: Server) -> AsyncIterator[Service]:
    """A running service on a database of this module's own; when its tests are over, every promise must hold in it.

    Modules that use it run in one event loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
    """
    test_handlers.forget()
    name = f"contract_{uuid4().hex}"
    url = server.url_of(name)
    await _on_postgres(server, f"create database {name} template duly_template")
    async with running_service(url) as running:
        yield running
    found = await violations(url)
    await _on_postgres(server, f"drop database {name} with (force)")
    assert not found, found


async def _on_postgres(server: Server, statement: str) -> None:
    connection = await asyncpg.connect(server.url_of("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
