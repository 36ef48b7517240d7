"""Holders of the stream of all jobs: on both servers, the transaction that is named is the one that it waits for."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from duly.lifecycle.cluster import stream_lag
from duly.lifecycle.maintenance import doctor
from duly.lifecycle.maintenance.doctor import Doctor
from duly.store.ledger.stream_blockers import HolderKind, find_old_writers, read_held
from duly.store.postgres.database import Database
from tests.support.database_pool import TestDatabases
from tests.support.gauges import read_gauges
from tests.support.postgres_servers import SYSTEM_BINARIES, Server, system_15
from tests.support.service import Service, running_service
from tests.support.stoppable_server import own_server
from tests.support.tenant_stream import Frame, following_all, take

Connect = Callable[..., Any]


@pytest.fixture(scope="module", params=["18", "15"] if SYSTEM_BINARIES.is_dir() else ["18"])
async def preparing_server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A server that takes prepared transactions and begins none by itself, and a second database on it."""
    async with AsyncExitStack() as stack:
        if request.param == "15":
            server = stack.enter_context(system_15("-c max_prepared_transactions=5 -c autovacuum=off"))
        else:
            own = stack.enter_context(own_server())
            await _run(own.server, "alter system set max_prepared_transactions = 5")
            await _run(own.server, "alter system set autovacuum = off")
            await own.stop()
            await own.start()
            server = own.server
        await _run(server, "create database other")
        await _run(server, "create role plain login")
        yield server


async def _run(server: Server, statement: str) -> None:
    connection = await asyncpg.connect(server.url_of("postgres"))
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def connect(preparing_server: Server) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def connect(database: str = "postgres", **options: Any) -> Any:
            connection = await asyncpg.connect(preparing_server.url_of(database), **options)
            stack.push_async_callback(connection.close)
            return connection

        yield connect


@asynccontextmanager
async def prepared(connection: Any, gid: str) -> AsyncIterator[int]:
    """A transaction that has written nothing but its id, prepared until the block ends."""
    await connection.execute("begin")
    tx = await connection.fetchval("select pg_current_xact_id()::text::bigint")
    await connection.execute(f"prepare transaction '{gid}'")
    try:
        yield tx
    finally:
        await connection.execute(f"rollback prepared '{gid}'")


@pytest.mark.parametrize("database", ["postgres", "other"])
async def test_a_prepared_transaction_of_any_database_holds_the_stream_and_is_named(
    connect: Connect, database: str
) -> None:
    looking = await connect()
    async with prepared(await connect(database), "it''s mine") as tx:
        held = await read_held(looking)
        assert (held.settled, held.holder is not None) == (tx, True)
        assert held.holder is not None and held.future >= tx
        assert (held.holder.kind, held.holder.name) == (HolderKind.PREPARED, "'it''s mine'")
        assert held.holder.database == database
        assert held.holder.seconds is not None and 0 <= held.holder.seconds < 60
        assert held.holder.remedy == (
            f"in database {database}: COMMIT PREPARED 'it''s mine', or ROLLBACK PREPARED 'it''s mine'"
        )
        assert [writer.name for writer in await find_old_writers(looking, seconds=0)] == ["'it''s mine'"]
    assert (await read_held(looking)).settled > tx


async def test_a_session_that_wrote_and_idles_holds_the_stream_and_is_named(connect: Connect) -> None:
    looking = await connect()
    writer = await connect("other", server_settings={"application_name": "report"})
    async with writer.transaction():
        tx = await writer.fetchval("select pg_current_xact_id()::text::bigint")
        held = await read_held(looking)
        assert held.settled == tx and held.holder is not None
        pid = writer.get_server_pid()
        assert held.holder.words == (
            f"pid {pid} (report, user {held.holder.user}, database other, idle in transaction)"
        )
        assert held.holder.remedy == f"let it end, or end it: SELECT pg_terminate_backend({pid})"


async def test_a_role_without_rights_sees_the_holder_but_not_its_age(connect: Connect) -> None:
    plain = await connect(user="plain")
    writer = await connect("other")
    async with writer.transaction():
        await writer.execute("select pg_current_xact_id()")
        held = await read_held(plain)
        assert held.holder is not None
        assert (held.holder.name, held.holder.seconds) == (str(writer.get_server_pid()), None)
        assert [each.name for each in await find_old_writers(plain, seconds=60)] == [held.holder.name]


async def test_a_snapshot_that_only_reads_holds_nothing(connect: Connect) -> None:
    looking, reader, writer = await connect(), await connect(), await connect()
    async with reader.transaction(isolation="repeatable_read", readonly=True):
        await reader.fetch("select * from pg_class")
        tx = await writer.fetchval("select pg_current_xact_id()::text::bigint")
        held = await read_held(looking)
        assert held.settled > tx and held.holder is None
        assert await find_old_writers(looking, seconds=0) == []


async def test_a_replication_slot_holds_nothing(connect: Connect) -> None:
    looking, writer = await connect(), await connect()
    name = f"slot_{uuid4().hex[:8]}"
    await looking.execute("select pg_create_physical_replication_slot($1, true)", name)
    tx = await writer.fetchval("select pg_current_xact_id()::text::bigint")
    held = await read_held(looking)
    await looking.execute("select pg_drop_replication_slot($1)", name)
    assert held.settled > tx and held.holder is None


@pytest.fixture(scope="module")
async def migrated(preparing_server: Server) -> AsyncIterator[TestDatabases]:
    made = TestDatabases(preparing_server)
    yield made
    await made.close()


@pytest.fixture
async def migrated_url(migrated: TestDatabases) -> AsyncIterator[str]:
    """A database of Duly's on that server."""
    async with migrated.lent() as url:
        yield url


async def test_a_prepared_transaction_elsewhere_shows_in_the_gauge_and_the_log_until_it_has_ended(
    connect: Connect, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_lag, "HELD_SECONDS", 1e-9)  # a stream that is not held is 0 s behind

    with capture_logs() as lines:
        async with running_service(migrated_url) as service, following_all(service) as frames:
            await _is_shown_while_prepared(service, frames, await connect("other"))
    (line,) = (line for line in lines if "'forgotten'" in line["event"])
    assert (line["action"], line["log_level"], line["by"]) == ("stream_held", "warning", "prepared_transaction")
    assert "by prepared transaction 'forgotten' (user " in line["event"]
    assert line["event"].endswith("COMMIT PREPARED 'forgotten', or ROLLBACK PREPARED 'forgotten'")


async def _is_shown_while_prepared(service: Service, frames: AsyncGenerator[Frame, None], other: Any) -> None:
    def behind(by: str) -> float:
        value = service.node.metrics.registry.get_sample_value("duly_stream_behind_seconds", {"by": by})
        assert value is not None
        return value

    async with prepared(other, "forgotten"):
        job = await service.run("echo")
        told = asyncio.create_task(take(frames, 3))
        await read_gauges(service)
        await read_gauges(service)
        assert not told.done()
        assert behind("prepared_transaction") > 0
        assert behind("session") == behind("unknown") == 0
    assert [frame.place for frame in await told] == [(job["jobId"], n) for n in range(3)]
    await read_gauges(service)
    assert behind("prepared_transaction") == 0


async def test_the_doctor_names_what_holds_the_stream_and_how_to_end_it(
    connect: Connect, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "WRITER_SECONDS", 0.0)
    database = Database(migrated_url, connections=1)
    examined = Doctor(database, lease_seconds=15)
    try:
        other, writer = await connect("other"), await connect("other")
        async with prepared(other, "forgotten"), writer.transaction():
            await writer.execute("select pg_current_xact_id()")
            first, second = await examined.examine()
            assert (first.code, second.code) == ("STREAM_BLOCKED", "LONG_TRANSACTION")
            held = r"The stream of all jobs is held for \d+ s by prepared transaction 'forgotten'"
            assert re.match(held, first.reason), first.reason
            assert "ROLLBACK PREPARED 'forgotten'" in first.remedy
            assert second.remedy.endswith(f"pg_terminate_backend({writer.get_server_pid()})")
        assert await examined.examine() == []
    finally:
        await database.close()
