"""The TypeScript client in Node.js and in Chromium, behind a site that can cut its connections."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser import running_browser
from tests.support.client_site import running_site
from tests.support.typescript_client import Clients, ClientsInNode, ClientsInPage, built_package


@pytest.fixture(scope="session")
def package(pytestconfig: pytest.Config) -> Path:
    """Built package."""
    return built_package(pytestconfig)


@pytest.fixture(scope="module", params=["Node.js", "Chromium"])
async def environment(request: pytest.FixtureRequest, package: Path) -> AsyncIterator[Clients]:
    """Environment of JavaScript, for all tests of a file."""
    async with running_site(package / "dist") as site:
        if request.param == "Node.js":
            yield ClientsInNode(site)
            return
        async with running_browser() as browser:
            yield ClientsInPage(site, browser)


@pytest.fixture
async def clients(environment: Clients) -> Clients:
    """Environment without faults of its site, and without clients of earlier tests."""
    site = environment.site
    site.target = None
    await environment.forget_clients()
    site.cut()
    site.holds_streams, site.cuts_polls = False, False
    site.relayed.clear()
    return environment
