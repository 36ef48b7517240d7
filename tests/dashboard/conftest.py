"""A browser and an open service that the tests of a module share, and the dashboard of the one in the other."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.support import handlers as test_handlers
from tests.support.browser import Browser, running_browser
from tests.support.dashboard import Dashboard
from tests.support.database_pool import TestDatabases
from tests.support.forked_commands import ROOT
from tests.support.node_packages import node_packages
from tests.support.postgres_servers import Server
from tests.support.service import Service, ServiceClient, running_service

HANDLERS = ("tests.support.handlers", "tests.support.dashboard_handlers")


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
async def contract(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Running service without keys, on a database of this module's own. All invariants must hold after its tests."""
    test_handlers.forget()
    async with databases_of(server).lent() as url, running_service(url, handlers=HANDLERS) as running:
        yield running


@pytest.fixture(scope="session")
def axe_source(pytestconfig: pytest.Config) -> str:
    """The rules of accessibility, as a script."""
    packages = node_packages(pytestconfig, ROOT / "tests" / "support" / "axe")
    return (packages / "axe-core" / "axe.min.js").read_text()


ShowDashboard = Callable[[ServiceClient], Dashboard]


@pytest.fixture
async def show(browser: Browser, axe_source: str) -> AsyncIterator[ShowDashboard]:
    """Function that returns the dashboard of a service. After the test, the console must have no errors left."""
    shown: list[Dashboard] = []

    def of(service: ServiceClient) -> Dashboard:
        shown.append(Dashboard(browser, service, axe_source))
        return shown[-1]

    await Dashboard(browser, ServiceClient("http://127.0.0.1", "", httpx.AsyncClient()), axe_source).forget()
    yield of
    assert await browser.console() == []


@pytest.fixture
async def dashboard(contract: Service, show: ShowDashboard) -> Dashboard:
    """The dashboard of the module's service, in a browser without cookies, at the usual size."""
    return show(contract)
