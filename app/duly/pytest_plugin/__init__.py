"""Plugin of pytest: fixtures with a running service on the embedded PostgreSQL.

    def test_a_report_has_a_row_for_each_day(duly_client: duly.client.Client) -> None:
        job = duly_client.submit("report", {"days": 31})
        assert duly_client.wait(job["jobId"])["result"]["rows"] == 31

The handlers are those of the option `duly_handlers`, or of the marker `duly`. Everything else is imported when a test
uses a fixture, so that other tests do not pay for it.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duly.client import Client
    from duly.pytest_plugin.service import Service, Services

_MARKER = "duly(handlers=[...], **settings): handlers (modules or Handlers objects) and settings of `duly_service`"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the plugin."""
    parser.addini("duly_handlers", "modules with the handlers of `duly_service`", type="args", default=[])
    parser.addini("duly_cache_dir", "folder of the test database (default: the user's cache folder)", type="string")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker `duly`."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def _duly_services(request: pytest.FixtureRequest) -> "Iterator[Services]":
    """Database server and event loop of the services of this test run."""
    try:
        from duly.pytest_plugin.session import open_services  # noqa: PLC0415  # imported on first use
    except ModuleNotFoundError as error:
        pytest.fail(f'{error.name} is not installed, which this fixture needs; run: pip install "duly[embedded]"')
    with open_services(request.config.getini("duly_cache_dir")) as services:
        yield services


@pytest.fixture
def duly_service(request: pytest.FixtureRequest, _duly_services: "Services") -> "Iterator[Service]":
    """Running service of this test, on an empty database of its own."""
    options: dict[str, Any] = {"handlers": request.config.getini("duly_handlers")}
    for marker in reversed(list(request.node.iter_markers("duly"))):  # the closest one wins
        options |= marker.kwargs
    with _duly_services.running(**options) as service:
        yield service


@pytest.fixture
def duly_client(duly_service: "Service") -> "Iterator[Client]":
    """Client of the service of this test."""
    with duly_service.connect() as client:
        yield client
