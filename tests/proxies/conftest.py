"""Two nodes of a service and, in front of both, each of the proxies."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.support import handlers as test_handlers
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.proxied_service import Site, a_node, opened_site
from tests.support.proxies import KINDS, Certificate, make_certificate
from tests.support.service import Service


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
async def nodes(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[list[Service]]:
    """Two nodes on a database of this module's own; when its tests are over, every invariant must hold in it."""
    test_handlers.forget()
    async with databases_of(server).lent() as url, AsyncExitStack() as stack:
        yield [await stack.enter_async_context(a_node(url)) for _ in range(2)]


@pytest.fixture(scope="module", params=KINDS)
async def site(
    request: pytest.FixtureRequest,
    certificate: Certificate,
    nodes: list[Service],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Site]:
    """The two nodes behind one of the proxies."""
    async with opened_site(request.param, certificate, tmp_path_factory.mktemp(request.param), nodes) as opened:
        yield opened
