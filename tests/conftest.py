"""Fixtures for all tests: servers, a fresh database for each test, a running service, and the invariants at the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from duly.store.database import Database
from duly.store.migrations import migrate
from tests.support import handlers as test_handlers
from tests.support.invariants import violations
from tests.support.postgres import SYSTEM_BINARIES, Server, embedded_18, system_15
from tests.support.receiver import Receiver, running_receiver
from tests.support.service import Service, running_service

_numbers = itertools.count(1)


def pytest_report_header() -> str:
    if SYSTEM_BINARIES.is_dir():
        return "databases: embedded PostgreSQL 18, system PostgreSQL 15"
    return "databases: embedded PostgreSQL 18 only (for 15 as well: apt-get install postgresql-15)"


# What differs between the servers is how they plan and lock: tests of statements, and of what follows from them, run
# on both. What a client or a handler sees of it is the same code, and is tested on one.
ON_BOTH = (
    *("store/", "faults/", "property/", "test_life_of_a_job.py", "api/test_idempotency.py", "api/test_listing.py"),
    *("lifecycle/test_concurrency_keys.py", "lifecycle/test_dependencies.py", "lifecycle/test_expiry.py"),
    *("lifecycle/test_fan_in.py", "lifecycle/test_leases.py", "lifecycle/test_limits.py", "lifecycle/test_pausing.py"),
    *("lifecycle/test_scheduling.py", "lifecycle/test_unique_keys.py", "webhooks/test_ordering_and_crashes.py"),
    *("webhooks/test_plans.py", "worker/test_breakers.py", "worker/test_eager_start.py"),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    elsewhere = [item for item in items if _on_15(item) and not str(item.path.relative_to(here)).startswith(ON_BOTH)]
    config.hook.pytest_deselected(items=elsewhere)
    gone = set(elsewhere)
    items[:] = [item for item in items if item not in gone]


def _on_15(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("server") == "system 15"


@pytest.fixture(scope="session")
def embedded_server_18() -> Iterator[Server]:
    with embedded_18() as running:
        asyncio.run(_make_template(running))
        yield running


@pytest.fixture(scope="session")
def system_server_15() -> Iterator[Server]:
    with system_15() as running:
        asyncio.run(_make_template(running))
        yield running


@pytest.fixture(scope="session", params=["embedded 18", "system 15"] if SYSTEM_BINARIES.is_dir() else ["embedded 18"])
def server(request: pytest.FixtureRequest) -> Server:
    """A PostgreSQL server for the whole run, with a migrated template database on it."""
    name = "embedded_server_18" if request.param == "embedded 18" else "system_server_15"
    running: Server = request.getfixturevalue(name)
    return running


async def _make_template(server: Server) -> None:
    # Nobody kills these servers, and each test makes a database: with fsync that takes four times as long, and by way
    # of the log (the default) twice as long.
    await _on_postgres(server, "alter system set fsync = off")
    await _on_postgres(server, "select pg_reload_conf()")
    await _on_postgres(server, "create database duly_template")
    database = Database(server.url_of("duly_template"))
    await migrate(database)
    await database.close()


async def _on_postgres(server: Server, statement: str) -> None:
    connection = await asyncpg.connect(server.url_of("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_database_url(server: Server) -> AsyncIterator[str]:
    """A database with nothing in it."""
    name = f"empty_{next(_numbers)}"
    await _on_postgres(server, f"create database {name}")
    yield server.url_of(name)
    await _on_postgres(server, f"drop database {name} with (force)")


@pytest.fixture
async def database_url(server: Server) -> AsyncIterator[str]:
    """A migrated database of the test's own. When the test is over, every promise must hold in it."""
    test_handlers.forget()
    name = f"test_{next(_numbers)}"
    await _on_postgres(server, f"create database {name} template duly_template strategy file_copy")
    yield server.url_of(name)
    found = await violations(server.url_of(name))
    await _on_postgres(server, f"drop database {name} with (force)")
    assert not found, found


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
