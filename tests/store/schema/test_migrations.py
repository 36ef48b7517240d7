"""The migrations create the schema that the code declares, once, regardless of repetition and concurrency."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic.script import ScriptDirectory

from duly.store.postgres.database import Database, RecordBusy
from duly.store.postgres.partitions import LIST_PARTITIONS
from duly.store.schema import migration_locks
from duly.store.schema.migrations import differences, is_ours, migrate
from duly.store.schema.migrations_folder import migrations_folder
from duly.store.schema.revisions import DatabaseNewer, known_revisions, missing_revisions
from tests.support.expand_only import contractions, read_schema
from tests.support.service import eventually


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    opened = Database(empty_database_url)
    yield opened
    await opened.close()


async def test_an_empty_database_lacks_everything_and_then_nothing(database: Database) -> None:
    lacking = await missing_revisions(database)
    assert lacking[:1] == ["0001"]
    assert lacking == sorted(lacking)
    await migrate(database)
    assert await missing_revisions(database) == []


def test_the_names_of_the_files_are_the_revisions_in_the_order_in_which_they_follow_one_another() -> None:
    scripts = ScriptDirectory(str(migrations_folder()))
    assert known_revisions() == [script.revision for script in scripts.walk_revisions()][::-1]


async def test_the_migrations_make_what_the_tables_declare(database: Database) -> None:
    await migrate(database)
    assert await differences(database) == []


@pytest.mark.parametrize(
    "change",
    [
        "alter table ready add column extra integer",
        "alter table running alter column queue drop not null",
        "drop index events_terminal",
        "create table unknown_one (id integer)",
    ],
)
async def test_a_difference_is_seen(database: Database, change: str) -> None:
    await migrate(database)
    async with database.connection() as connection:
        await connection.execute(change)
    assert await differences(database) != []


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await migrate(database)
    async with database.connection() as connection:
        before = await connection.fetch("select oid, relname from pg_class where relnamespace = 'public'::regnamespace")
    await migrate(database)
    async with database.connection() as connection:
        after = await connection.fetch("select oid, relname from pg_class where relnamespace = 'public'::regnamespace")
    assert sorted(map(tuple, before)) == sorted(map(tuple, after))


async def test_several_may_migrate_at_once(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(3)]
    await asyncio.gather(*(migrate(database) for database in databases))
    assert await missing_revisions(databases[0]) == []
    for database in databases:
        await database.close()


@pytest.mark.parametrize(
    ("name", "kind", "ours"),
    [
        ("jobs", "table", True),
        ("jobs_20260101", "table", False),
        ("jobs_20260101_pkey", "index", False),
        ("events_terminal", "index", True),
        (None, "schema", True),
    ],
)
def test_partitions_are_not_compared(name: str | None, kind: str, ours: bool) -> None:
    assert is_ours(name, kind, {}) is ours


TAKES_AWAY = {
    "alter table ready add column extra integer not null": "ready.extra is new and takes no null",
    "alter table ready drop column marks": "ready.marks is gone",
    "alter table ready rename column marks to bits": "ready.marks is gone",
    "alter table ready alter column marks type bigint": "ready.marks is bigint",
    "alter table ready alter column expires_at set not null": "ready.expires_at takes no null",
    "alter table nodes alter column draining drop default": "nodes.draining has no default",
    "alter table ready add constraint positive check (attempt >= 0)": "ready has a new constraint positive",
    "create unique index one_batch on ready (batch_id)": "ready has a new constraint one_batch",
    "create unique index narrower on limits (tenant_id, name)": "limits has a new constraint narrower",
    "alter table nodes add foreign key (name) references secret_keys (key_id)": "nodes has a new constraint",
    "drop table stream_tickets": "stream_tickets is gone",
    "alter table stream_tickets rename to tickets": "stream_tickets is gone",
}
ONLY_EXPANDS = (
    "alter table ready add column extra integer",
    "alter table ready add column extra integer not null default 0",
    "alter table running alter column queue drop not null",
    "alter table ready alter column type set default 'echo'",
    "create table extra (id integer primary key check (id > 0))",
    "create index extra on ready (batch_id)",
    "create unique index wider on ready (queue, type, priority, job_id, tenant_id)",
)


async def test_a_migration_that_takes_something_away_is_told_from_one_that_only_expands(database: Database) -> None:
    await migrate(database)
    async with database.connection() as connection:
        before = await read_schema(connection)
        for change, expected in {**TAKES_AWAY, **dict.fromkeys(ONLY_EXPANDS)}.items():
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(change)
            found = contractions(before, await read_schema(connection))
            await transaction.rollback()
            if expected is None:
                assert found == [], change
            else:
                assert any(words.startswith(expected) for words in found), (change, found)


async def test_a_database_of_a_newer_release_says_who_may_work_on_it(database: Database) -> None:
    await migrate(database)
    async with database.connection() as connection:
        await connection.execute("update alembic_version set version_num = '9999'")
        for contraction, serves in ((known_revisions()[-1], True), ("9998", False)):
            await connection.execute("insert into contractions values ($1)", contraction)
            with pytest.raises(DatabaseNewer, match=f"9999, .* up to {known_revisions()[-1]}") as newer:
                await missing_revisions(database)
            assert newer.value.serves is serves


async def test_nodes_that_wait_for_another_one_to_migrate_do_not_hold_it_up(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(3)]
    await migrate(databases[0], to="0009")  # with partitions, which the next revision indexes concurrently
    async with asyncio.timeout(60):
        await asyncio.gather(*(migrate(database) for database in databases))
    for database in databases:
        await database.close()


WAITS = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def test_a_migration_gives_way_to_transactions_of_running_nodes(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await migrate(database, to="0017")  # the next one changes `jobs`, and then indexes `ready`
    async with database.connection() as watcher, database.connection() as node, asyncio.timeout(60):
        async with node.transaction():
            await node.execute("delete from ready")
            migration = asyncio.create_task(migrate(database))
            await eventually(lambda: watcher.fetch(WAITS))
            assert await node.fetch("select from jobs") == []
        await migration
    assert await missing_revisions(database) == []
    await database.close()


async def test_a_migration_that_had_to_wait_builds_its_indexes(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_database_url)
    await migrate(database, to="0003")
    waits = asyncio.Event()
    monkeypatch.setattr(migration_locks, "SILENT_SECONDS", 0)
    monkeypatch.setattr(migration_locks.log, "warning", lambda *_, **__: waits.set())
    async with database.connection() as dump, asyncio.timeout(60):
        async with dump.transaction():
            await dump.fetch("select from jobs")
            await dump.fetch("select from deliveries")
            migration = asyncio.create_task(migrate(database))
            await waits.wait()
        await migration
    assert await missing_revisions(database) == []
    await database.close()


async def test_a_migration_that_gets_no_lock_names_the_oldest_transaction(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_database_url)
    await migrate(database, to="0017")
    monkeypatch.setattr(migration_locks, "LONGEST_SECONDS", 0)
    async with database.connection() as dump:
        await dump.execute("set application_name = 'pg_dump'")
        async with dump.transaction():
            await dump.fetch("select from jobs")
            with pytest.raises(RecordBusy, match=rf"pid {dump.get_server_pid()} \(pg_dump, user .*, since") as busy:
                await migrate(database)
        await dump.execute("reset application_name")
    assert "oldest transaction" in busy.value.line
    assert (await missing_revisions(database))[0] == "0018"
    await migrate(database)
    await database.close()


async def test_an_index_that_was_built_in_part_is_completed(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await migrate(database, to="0009")
    async with database.connection() as connection:
        await connection.execute("create unique index jobs_id on only jobs (job_id) where type <> ''")
        [first, second, *_] = sorted(row["name"] for row in await connection.fetch(LIST_PARTITIONS, "jobs"))
        for partition in (first, second):
            await connection.execute(
                f"create unique index {partition}_job_id_idx on {partition} (job_id) where type <> ''"
            )
        await connection.execute(f"alter index jobs_id attach partition {first}_job_id_idx")
    await migrate(database)
    async with database.connection() as connection:
        valid = await connection.fetchval("select indisvalid from pg_index where indexrelid = to_regclass('jobs_id')")
    await database.close()
    assert valid
