"""Fixtures of all tests: servers, a database for each test with a check of all invariants, and a running service."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from xdist.remote import Producer

from duly.api.jobs import job_logs
from tests.support import fuzzing
from tests.support import handlers as test_handlers
from tests.support.cells_of_run import CELLS_OF_RUN, service_over_cells, skip_tests_of_one_database, starting_over_cells
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import SYSTEM_BINARIES, Server, embedded_18, server_of
from tests.support.postgres_versions import packaged_binaries, second_server
from tests.support.service import BOUND_SECONDS, Service, running_service
from tests.support.webhook_receiver import Receiver, running_receiver
from tests.support.xdist_scheduling import SharedFixtures, start_order

# With the interpreter's default of 700, the garbage collector runs ten thousand times over all imported modules.
YOUNG_OBJECTS = 50_000


def pytest_configure(config: pytest.Config) -> None:
    fuzzing.choose_profile(long=config.getoption("--long"))
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    # With rich installed, structlog renders tracebacks with all local variables, which takes half a second each.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


def pytest_collection_finish() -> None:
    """Excludes modules and tests from garbage collection, since they exist for the whole run."""
    gc.freeze()


def pytest_report_header() -> str:
    if len(SERVERS) > 1:
        return f"databases: embedded PostgreSQL 18, {SERVERS[1]}"
    return "databases: embedded PostgreSQL 18 only (for 15 as well: apt-get install postgresql-15)"


SERVERS = tuple(filter(None, ("embedded 18", second_server())))
# Servers differ in plans and locks: tests of statements and of their effects run on both versions. The code that
# clients and handlers use is the same and is tested on one.
ON_BOTH = (
    *("store/", "faults/", "property/", "test_life_of_a_job.py"),
    *("api/jobs/test_idempotency.py", "api/jobs/test_list_jobs.py", "api/jobs/test_signals.py"),
    *("lifecycle/claim/test_job_type_breakers.py", "lifecycle/claim/test_limits.py"),
    *("lifecycle/claim/test_pausing.py", "lifecycle/claim/test_fair_rounds.py"),
    *("lifecycle/end/test_dependencies.py", "lifecycle/end/test_fan_in.py"),
    "lifecycle/inbox/",
    *("lifecycle/job_types/test_declare_handlers.py",),
    *("lifecycle/maintenance/test_expiry.py", "lifecycle/maintenance/test_sweep.py"),
    *("lifecycle/maintenance/test_release.py", "lifecycle/submit/test_concurrency_keys.py"),
    *("lifecycle/submit/test_eager_start.py", "lifecycle/submit/test_unique_keys.py"),
    *("webhooks/test_ordering_and_crashes.py",),
)


# Tests that `--fast` excludes besides those that need a server of the run: they start a server or a program. Their
# files are not imported; those of the second line have no other tests than such that need a server.
SLOW = (
    *("benchmarks/test_smoke", "cli/", "demo/", "faults/", "packaging/", "embedded/", "pytest_plugin/"),
    *("browser/", "clients/", "openapi/", "security/test_file_modes", "chaos/test_short_form"),
)
FAST_WITH_SERVER = "test_life_of_a_job.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run fuzz tests with 50 times as many, random examples")
    parser.addoption("--fast", action="store_true", help="run only tests without a server, and the life of a job")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Chooses the server of tests that run on one version. Deselecting them on the other would cost two seconds."""
    path = str(metafunc.definition.path.relative_to(Path(__file__).parent))
    if "server" not in metafunc.fixturenames or (path.startswith(ON_BOTH) and not CELLS_OF_RUN):
        return
    if not any("server" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")):
        chosen = pytest.mark.parametrize("server", SERVERS[:1], indirect=True, scope="session")
        metafunc.definition.add_marker(chosen, append=False)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files that `--fast` excludes, so that no worker imports them."""
    tests = Path(__file__).parent
    if not config.getoption("--fast") or not collection_path.is_relative_to(tests):
        return None
    path = str(collection_path.relative_to(tests))
    return f"{path}/".startswith(SLOW) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CELLS_OF_RUN:
        skip_tests_of_one_database(items)
    gone = {item for item in items if _slow(item)} if config.getoption("--fast") else set()
    config.hook.pytest_deselected(items=list(gone))
    # After pytest-randomly has shuffled them.
    items[:] = sorted((item for item in items if item not in gone), key=lambda item: start_order(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedFixtures:
    return SharedFixtures(config, log)


def _slow(item: pytest.Item) -> bool:
    needs = set(getattr(item, "fixturenames", ()))
    if _path(item) == FAST_WITH_SERVER:
        return _on_second(item)
    return bool(needs & {"server", "embedded_server_18"}) or _path(item).startswith(SLOW)


def _path(item: pytest.Item) -> str:
    return str(item.path.relative_to(Path(__file__).parent))


def _on_second(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("server") in SERVERS[1:]


@pytest.fixture(scope="session", autouse=True)
def _lists_of_log_lines_are_complete() -> Iterator[None]:
    """Lets a list of log lines wait for those that are still to be recorded, for as long as a busy machine takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_logs, "FLUSH_SECONDS", BOUND_SECONDS)
        yield


@pytest.fixture(scope="session")
def embedded_server_18() -> Iterator[Server]:
    with embedded_18() as running:
        yield running


@pytest.fixture(scope="session")
def second_server_of_the_run(pytestconfig: pytest.Config) -> Iterator[Server]:
    kind, major = SERVERS[1].split()
    binaries = SYSTEM_BINARIES if kind == "system" else packaged_binaries(pytestconfig, major)
    with server_of(binaries, SERVERS[1]) as running:
        yield running


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """PostgreSQL server for the whole run."""
    name = "embedded_server_18" if request.param == "embedded 18" else "second_server_of_the_run"
    running: Server = request.getfixturevalue(name)
    return running


@pytest.fixture(scope="session")
async def databases_of() -> AsyncIterator[Callable[[Server], TestDatabases]]:
    """Test databases of each server, for the whole run."""
    made: dict[str, TestDatabases] = {}

    def of(server: Server) -> TestDatabases:
        return made.setdefault(server.name, TestDatabases(server))

    yield of
    for databases in made.values():
        await databases.close()


@pytest.fixture
def databases(server: Server, databases_of: Callable[[Server], TestDatabases]) -> TestDatabases:
    """Test databases of the server of this test."""
    return databases_of(server)


@pytest.fixture
async def empty_database_url(databases: TestDatabases) -> AsyncIterator[str]:
    """Empty database without a schema."""
    async with databases.empty() as url:
        yield url


@pytest.fixture
async def database_url(request: pytest.FixtureRequest, databases: TestDatabases) -> AsyncIterator[str]:
    """Migrated database for one test. After the test, all invariants must hold in it.

    Tests marked `fresh_database` get one that no other test wrote to, because their results depend on its pages.
    """
    test_handlers.forget()
    async with databases.lent(fresh=request.node.get_closest_marker("fresh_database") is not None) as url:
        yield url


StartService = Callable[..., Awaitable[Service]]

if CELLS_OF_RUN:

    @pytest.fixture
    async def service(request: pytest.FixtureRequest, databases: TestDatabases) -> AsyncIterator[Service]:
        """Running service with the tests' handlers, over several cells."""
        test_handlers.forget()
        async with service_over_cells(databases, request.node) as running:
            yield running

    @pytest.fixture
    async def start_service(request: pytest.FixtureRequest, databases: TestDatabases) -> AsyncIterator[StartService]:
        """Function that starts services over several cells with the given settings, also several on the same cells."""
        test_handlers.forget()
        async with starting_over_cells(databases, request.node) as start:
            yield start

else:

    @pytest.fixture
    async def service(database_url: str) -> AsyncIterator[Service]:
        """Running service with the tests' handlers."""
        async with running_service(database_url) as running:
            yield running

    @pytest.fixture
    async def start_service(database_url: str) -> AsyncIterator[StartService]:
        """Function that starts services with the given settings, also several on one database."""
        async with AsyncExitStack() as stack:

            async def start(**settings: Any) -> Service:
                return await stack.enter_async_context(running_service(database_url, **settings))

            yield start


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Webhook receiver on loopback."""
    async with running_receiver() as running:
        yield running
