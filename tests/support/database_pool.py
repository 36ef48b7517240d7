"""Test databases of one server: created from a migrated template, checked, cleared and used again.

Creating and dropping a database costs a hundred times as much as clearing the few tables that a test wrote to. A
database whose schema a test changed, or that it filled, is dropped instead, so tests do not affect each other.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from duly.store.postgres.database import Database
from tests.support.invariants import violations_on
from tests.support.postgres_servers import Server
from tests.support.reused_connections import forget_connections, keep_connections

TEMPLATE = "duly_template"
# Databases with more data than this are dropped: clearing them would leave their pages to the next test.
LARGEST_BYTES = 4 << 20
LEAVE_SECONDS = 60.0
# Sessions that services of a returned database leave for the next ones; all databases share one server.
MOST_KEPT = 40

TABLES = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
  and relname not in ('alembic_version', 'control', 'tenants', 'epochs')
order by relname
"""
# Any change of the schema, of privileges or of settings writes a new row of one of these catalogs. VACUUM and ANALYZE
# do not: they update `pg_class` in place.
SCHEMA = """
select of_class.*, of_attribute.*, of_proc.*, of_namespace.*, (select count(*) from pg_constraint),
       (select count(*) from pg_trigger), (select count(*) from pg_default_acl),
       (select count(*) from pg_db_role_setting),
       (select (datallowconn, datconnlimit, datacl)::text from pg_database where datname = current_database())
from (select max(xmin::text::bigint) filter (where relnamespace = 'public'::regnamespace), count(*)
      from pg_class) of_class,
     (select max(xmin::text::bigint), count(*) from pg_attribute) of_attribute,
     (select max(xmin::text::bigint), count(*) from pg_proc) of_proc,
     (select max(xmin::text::bigint), count(*) from pg_namespace) of_namespace
"""
OTHERS = """
from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid() and pid <> all($1)
"""
# Rows that the migrations insert.
CONTROL = """
update control set version = 1 where version <> 1;
delete from tenants where tenant_id > 1;
update tenants set submit_rate = null, submit_burst = null, backlog_limit = null, retention_days = null,
    max_endpoints = null, max_schedules = null, max_keys = null, max_queues = null
where num_nonnulls(submit_rate, submit_burst, backlog_limit, retention_days, max_endpoints, max_schedules, max_keys,
    max_queues) > 0
"""
MIGRATED = """
select (select json_agg(c order by c.id) from control c)::text,
       (select json_agg(t order by t.tenant_id) from tenants t)::text
"""


@dataclass(eq=False)
class TestDatabase:
    """Migrated database, used by one test at a time."""

    __test__ = False

    name: str
    url: str
    connection: Any = None
    reusable: bool = True


class TestDatabases:
    """Pool of the databases of a server, all in the event loop of the run."""

    __test__ = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self._postgres: Any = None
        self._idle: list[TestDatabase] = []
        self._numbers = itertools.count(1)
        self._written = ""
        self._cells: set[int] = set()
        self._schema: asyncpg.Record | None = None
        self._migrated: asyncpg.Record | None = None

    async def lend(self, *, fresh: bool = False) -> TestDatabase:
        """Returns a migrated, empty database; if `fresh`, one that no other test uses."""
        if self._idle and not fresh:
            return self._idle.pop()
        if self._schema is None:
            await self._make_template()
        name = f"test_{next(self._numbers)}"
        await self._on_postgres(f"create database {name} template {TEMPLATE} strategy file_copy")
        lent = TestDatabase(name, self._server.url_of(name), reusable=not fresh)
        if lent.reusable:
            keep_connections(lent.url)
        return lent

    async def take_back(self, lent: TestDatabase) -> list[str]:
        """Returns the violated invariants of a lent database, and clears it for the next test or drops it."""
        connection = await self._connected(lent)
        found = await violations_on(connection)
        if lent.reusable and await self._cleared(connection, lent):
            self._idle.append(lent)
        else:
            await self.drop(lent)
        return found

    @asynccontextmanager
    async def lent(self, *, fresh: bool = False) -> AsyncIterator[str]:
        """Yields the URL of a database; fails after the block if an invariant is violated in it."""
        lent = await self.lend(fresh=fresh)
        yield lent.url
        found = await self.take_back(lent)
        assert not found, found

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """Yields the URL of an empty database without a schema."""
        name = f"empty_{next(self._numbers)}"
        await self._on_postgres(f"create database {name}")
        yield self._server.url_of(name)
        await self._on_postgres(f"drop database {name} with (force)")

    @asynccontextmanager
    async def cells(self, count: int) -> AsyncIterator[str]:
        """Yields the URL of a database with a migrated schema for each of so many cells."""
        from duly.cells.installation import Installation  # noqa: PLC0415  # of few tests
        from duly.store.schema.migrations import migrate  # noqa: PLC0415  # as below

        if self._schema is None:
            await self._make_template()
        template = f"{TEMPLATE}_{count}_cells"
        if count not in self._cells:
            await self._on_postgres(f"drop database if exists {template}")  # of a test that was cut off
            await self._on_postgres(f"create database {template}")
            url = self._server.url_of(template)
            databases = {number: Database(url, schema=f"cell_{number}") for number in range(count)}
            for database in databases.values():
                await migrate(database)
            assert not await Installation(count, writes=True).recognise(databases)
            for database in databases.values():
                await database.close()
            self._cells.add(count)
        name = f"cells_{next(self._numbers)}"
        await self._on_postgres(f"create database {name} template {template} strategy file_copy")
        yield self._server.url_of(name)
        await self._on_postgres(f"drop database {name} with (force)")

    async def drop(self, lent: TestDatabase) -> None:
        await forget_connections(lent.url)
        if lent.connection is not None:
            await lent.connection.close()
        await self._on_postgres(f"drop database {lent.name} with (force)")

    async def close(self) -> None:
        """Closes all connections; the databases are removed with their server."""
        for lent in self._idle:
            await forget_connections(lent.url)
            if lent.connection is not None:
                await lent.connection.close()
        if self._postgres is not None:
            await self._postgres.close()

    async def _make_template(self) -> None:
        from duly.store.schema.migrations import migrate  # noqa: PLC0415  # a second that runs without a server need not spend

        await self._on_postgres("alter system set fsync = off")  # these servers are never killed
        await self._on_postgres("select pg_reload_conf()")
        await self._on_postgres(f"create database {TEMPLATE}")
        database = Database(self._server.url_of(TEMPLATE))
        await migrate(database)
        await database.close()
        connection = await asyncpg.connect(self._server.url_of(TEMPLATE))
        tables = [row[0] for row in await connection.fetch(TABLES)]
        each = ", ".join(f"case when exists (select from {name}) then '{name}' end" for name in tables)
        self._written = f"select array_remove(array[{each}], null)"
        self._schema, self._migrated = await connection.fetchrow(SCHEMA), await connection.fetchrow(MIGRATED)
        await connection.close()

    async def _connected(self, lent: TestDatabase) -> Any:
        """Returns the connection that checks and clears this database, kept from test to test."""
        if lent.connection is not None and not lent.connection.is_closed():
            try:
                await lent.connection.execute("select 1")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # a test ended all connections
                lent.connection.terminate()
                lent.connection = None
        if lent.connection is None or lent.connection.is_closed():
            lent.connection = await asyncpg.connect(lent.url, server_settings={"application_name": "tests"})
        return lent.connection

    async def _cleared(self, connection: Any, lent: TestDatabase) -> bool:
        """Deletes the rows that tests wrote; returns False if the database cannot be restored."""
        if await connection.fetchrow(SCHEMA) != self._schema:
            return False
        await self._await_departures(connection, lent)
        written = await connection.fetchval(self._written)
        if written:
            size = (
                "select sum(pg_total_relation_size(format('%I', name)::regclass))::bigint from unnest($1::text[]) name"
            )
            if await connection.fetchval(size, written) > LARGEST_BYTES:
                return False
            await connection.execute("; ".join([*map("delete from {}".format, written), CONTROL]))
        else:
            await connection.execute(CONTROL)
        return bool(await connection.fetchrow(MIGRATED) == self._migrated)

    async def _await_departures(self, connection: Any, lent: TestDatabase) -> None:
        """Waits until only kept connections are left: a killed service leaves sessions that end by themselves."""
        kept = await keep_connections(lent.url).server_pids()
        if len(kept) > MOST_KEPT:
            await keep_connections(lent.url).close()
            kept = []
        async with asyncio.timeout(LEAVE_SECONDS):
            while await connection.fetchval(f"select count(pg_terminate_backend(pid)) {OTHERS}", kept):
                await asyncio.sleep(0.01)

    async def _on_postgres(self, statement: str) -> None:
        """Runs a statement outside the test databases. The server waits only five seconds for sessions of a database to
        end that is copied or dropped, which a busy machine may need longer for.
        """
        if self._postgres is None or self._postgres.is_closed():
            self._postgres = await asyncpg.connect(self._server.url_of("postgres"))
        async with asyncio.timeout(LEAVE_SECONDS):
            while True:
                try:
                    await self._postgres.execute(statement)
                except asyncpg.ObjectInUseError:
                    continue
                return
