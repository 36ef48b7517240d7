"""Fixtures for all tests: servers, a fresh database for each test, a running service, and the invariants at the end."""

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from xdist.remote import Producer

from tests.support import handlers as test_handlers
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import SYSTEM_BINARIES, Server, embedded_18, system_15
from tests.support.service import Service, running_service
from tests.support.webhook_receiver import Receiver, running_receiver
from tests.support.xdist_scheduling import SharedFixtures

# The interpreter's own 700 have the collector run ten thousand times, over all that was imported and collected.
YOUNG_OBJECTS = 50_000


def pytest_configure() -> None:
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    # Where rich is installed, structlog has it draw each traceback with all local variables: half a second for one.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


def pytest_collection_finish() -> None:
    """Spares the collector the modules and the tests themselves: they live as long as the run."""
    gc.freeze()


def pytest_report_header() -> str:
    if SYSTEM_BINARIES.is_dir():
        return "databases: embedded PostgreSQL 18, system PostgreSQL 15"
    return "databases: embedded PostgreSQL 18 only (for 15 as well: apt-get install postgresql-15)"


# What differs between the servers is how they plan and lock: tests of statements, and of what follows from them, run
# on both. What a client or a handler sees of it is the same code, and is tested on one.
ON_BOTH = (
    *("store/", "faults/", "property/", "test_life_of_a_job.py"),
    *("api/jobs/test_idempotency.py", "api/jobs/test_list_jobs.py"),
    *("lifecycle/claim/test_job_type_breakers.py", "lifecycle/claim/test_limits.py"),
    *("lifecycle/claim/test_pausing.py", "lifecycle/end/test_dependencies.py", "lifecycle/end/test_fan_in.py"),
    *("lifecycle/maintenance/test_expiry.py", "lifecycle/maintenance/test_sweep.py"),
    *("lifecycle/maintenance/test_release.py", "lifecycle/submit/test_concurrency_keys.py"),
    *("lifecycle/submit/test_eager_start.py", "lifecycle/submit/test_unique_keys.py"),
    *("webhooks/test_ordering_and_crashes.py",),
)


# Tests that take many seconds each: begun first, so that no worker is left with one when the others have ended.
LONG = (
    "faults/",
    "store/read/test_list_jobs.py",
    "store/webhooks/test_delivery_lists.py",
    "api/test_fuzzing.py",
    "property/",
)


# What `--fast` leaves out beside the tests that need a server of the run's: those that start one, or a whole program.
SLOW = ("benchmarks/test_smoke", "cli/", "demo/", "faults/", "packaging/", "embedded/")
FAST_ALL_THE_SAME = "test_life_of_a_job.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only what needs no server of its own, and the life of a job")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = _slow if config.getoption("--fast") else _elsewhere
    gone = {item for item in items if left_out(item)}
    config.hook.pytest_deselected(items=list(gone))
    # After pytest-randomly has shuffled them.
    items[:] = sorted((item for item in items if item not in gone), key=lambda item: not _place(item).startswith(LONG))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedFixtures:
    return SharedFixtures(config, log)


def _elsewhere(item: pytest.Item) -> bool:
    """Tells of a test that shows the same on another server."""
    return _on_15(item) and not _place(item).startswith(ON_BOTH)


def _slow(item: pytest.Item) -> bool:
    needs = set(getattr(item, "fixturenames", ()))
    if _place(item) == FAST_ALL_THE_SAME:
        return _on_15(item)
    return bool(needs & {"server", "embedded_server_18"}) or _place(item).startswith(SLOW)


def _place(item: pytest.Item) -> str:
    return str(item.path.relative_to(Path(__file__).parent))


def _on_15(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("server") == "system 15"


@pytest.fixture(scope="session")
def embedded_server_18() -> Iterator[Server]:
    with embedded_18() as running:
        yield running


@pytest.fixture(scope="session")
def system_server_15() -> Iterator[Server]:
    with system_15() as running:
        yield running


@pytest.fixture(scope="session", params=["embedded 18", "system 15"] if SYSTEM_BINARIES.is_dir() else ["embedded 18"])
def server(request: pytest.FixtureRequest) -> Server:
    """A PostgreSQL server for the whole run."""
    name = "embedded_server_18" if request.param == "embedded 18" else "system_server_15"
    running: Server = request.getfixturevalue(name)
    return running


@pytest.fixture(scope="session")
async def databases_of() -> AsyncIterator[Callable[[Server], TestDatabases]]:
    """The test databases of each server, for the whole run."""
    made: dict[str, TestDatabases] = {}

    def of(server: Server) -> TestDatabases:
        return made.setdefault(server.name, TestDatabases(server))

    yield of
    for databases in made.values():
        await databases.close()


@pytest.fixture
def databases(server: Server, databases_of: Callable[[Server], TestDatabases]) -> TestDatabases:
    """The test databases of this test's server."""
    return databases_of(server)


@pytest.fixture
async def empty_database_url(databases: TestDatabases) -> AsyncIterator[str]:
    """A database with nothing in it."""
    async with databases.empty() as url:
        yield url


@pytest.fixture
async def database_url(request: pytest.FixtureRequest, databases: TestDatabases) -> AsyncIterator[str]:
    """A migrated database of the test's own. When the test is over, every promise must hold in it.

    Tests marked `fresh_database` get one that no other test wrote to: what they look at depends on its pages.
    """
    test_handlers.forget()
    async with databases.lent(fresh=request.node.get_closest_marker("fresh_database") is not None) as url:
        yield url


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A running service with the tests' handlers."""
    async with running_service(database_url) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook receiver on loopback."""
    async with running_receiver() as running:
        yield running


StartService = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
async def start_service(database_url: str) -> AsyncIterator[Callable[..., Any]]:
    """Starts services with settings of the test's choice, several on one database if it likes."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Service:
            return await stack.enter_async_context(running_service(database_url, **settings))

        yield start
