"""Migrating and serving as two roles, in a schema of one's own: each right that is missing is named with its GRANT."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.cli.prepare_database import CannotServe, prepare
from duly.lifecycle.maintenance.check import check
from duly.store.ledger.retention import drop_expired
from duly.store.postgres.database import Database, DatabaseMisconfigured, RecordRefused
from duly.store.postgres.epochs import begin_epoch
from duly.store.postgres.partition_function import days_ahead
from duly.store.postgres.partitions import DAYS_AHEAD, PARTITIONED, READ_TODAY, _make, ensure_partitions, is_there
from duly.store.schema.migrations import differences
from duly.store.schema.required_rights import missing_rights
from tests.support import handlers as signals
from tests.support.database_roles import Split, SplitDatabases, split_roles
from tests.support.postgres_servers import Server
from tests.support.response_checks import refused
from tests.support.service import Service, eventually, running_service
from tests.support.service_process import Processes

# Privileges of a role do not depend on the server's version.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def split_databases_of() -> Callable[[Server], SplitDatabases]:
    """Databases of each server that are migrated once for the whole run."""
    return cache(SplitDatabases)


@pytest.fixture
async def split(server: Server, split_databases_of: Callable[[Server], SplitDatabases]) -> AsyncIterator[Split]:
    """Both roles of a database that is migrated and granted."""
    async with split_databases_of(server).lent() as roles:
        yield roles


@pytest.fixture
async def empty_split(empty_database_url: str) -> AsyncIterator[Split]:
    """Both roles of a database that is not migrated."""
    async with split_roles(empty_database_url) as roles:
        yield roles


@pytest.fixture
async def served(split: Split) -> AsyncIterator[Database]:
    """The database as the serving role sees it."""
    database = Database(split.serving_url, schema=split.schema)
    yield database
    await database.close()


async def test_a_role_that_owns_nothing_starts_and_serves(split: Split, served: Database) -> None:
    assert await prepare(served, migrates=False) == []
    signals.forget()
    async with running_service(split.serving_url, database_schema=split.schema) as service:
        assert await eventually(service.is_ready)
        assert (await service.run("progress", {"steps": 2}))["result"] == "done"
        assert (await service.run("retry-after", {"after": 0.05}))["attempt"] == 2
        await service.node.sweeper.run_housekeeping(retention_days=30)
        metrics = (await service.client.get("/metrics")).text
        assert 'code="DATABASE_PERMISSION_DENIED"' not in metrics
    assert (await check(served)).clean


async def test_it_keeps_a_day_past_retention_and_names_the_command(split: Split, served: Database) -> None:
    old = (await split.superuser.fetchval(READ_TODAY)) - timedelta(days=40)
    owner = Database(split.owner_url, schema=split.schema)
    async with owner.connection() as connection:
        await _make(connection, "jobs", old)
    await owner.close()
    with capture_logs() as logs:
        async with running_service(split.serving_url, database_schema=split.schema, roles=("api",)) as service:
            await service.node.sweeper.run_housekeeping(retention_days=30)
    assert {line["event"] for line in logs if line.get("action") == "partitions_kept"} == {
        "this role may not drop partitions; run `duly migrate --drop-expired` as their owner"
    }
    async with served.connection() as connection:
        assert await is_there(connection, table="jobs", day=old)


async def test_it_may_be_told_to_migrate_what_is_current(split: Split, served: Database) -> None:
    assert await prepare(served, migrates=True) == []


async def test_it_has_partitions_made_by_the_function_of_the_owner(split: Split, served: Database) -> None:
    today = await split.superuser.fetchval(READ_TODAY)
    for table in PARTITIONED:
        await split.superuser.execute(f"drop table {table}_{today:%Y%m%d}")
    async with running_service(split.serving_url, database_schema=split.schema) as service:
        assert (await service.run("echo", 1))["result"] == 1
        assert await days_ahead(split.superuser, PARTITIONED) == DAYS_AHEAD


async def test_the_function_makes_what_the_owner_would_have_made(split: Split, served: Database) -> None:
    bounds = (
        "select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "where i.inhparent = any($1::text[]::regclass[]) order by 1"
    )
    before = [tuple(row) for row in await split.superuser.fetch(bounds, PARTITIONED)]
    for name, _ in before:
        await split.superuser.execute(f"drop table {name}")
    async with served.connection() as connection:
        assert sorted(await ensure_partitions(connection)) == sorted(name for name, _ in before)
    assert [tuple(row) for row in await split.superuser.fetch(bounds, PARTITIONED)] == before


@pytest.mark.parametrize(
    "call",
    [
        "'pg_class', current_date",
        "'ready', current_date",
        "'jobs', current_date + 365",
        "'jobs', current_date - 500",
        "'jobs; drop table jobs', current_date",
        "null, current_date",
        "'jobs', null",
    ],
)
async def test_the_function_takes_only_our_tables_and_days_that_they_may_hold(served: Database, call: str) -> None:
    with pytest.raises(RecordRefused, match="InvalidParameterValueError: duly_make_partition takes"):
        async with served.connection() as connection:
            await connection.execute(f"select app.duly_make_partition({call})")  # from above


async def test_the_function_is_for_those_to_whom_it_is_granted(split: Split, served: Database) -> None:
    await split.superuser.execute(f"revoke execute on function duly_make_partition(text, date) from {split.serving}")
    with pytest.raises(DatabaseMisconfigured) as refusal:
        async with served.connection() as connection:
            await connection.fetchval("select duly_make_partition('jobs', current_date)")
    assert "permission denied for function" in refusal.value.line


async def test_it_begins_an_epoch_by_the_function_of_the_owner_and_else_names_the_grant(
    split: Split, served: Database
) -> None:
    elsewhere = "update epochs set server_started_at = null"
    function = f"function {split.schema}.duly_begin_epoch()"
    await split.superuser.execute(elsewhere)
    await split.superuser.execute(f"revoke execute on {function} from {split.serving}")
    assert await prepare(served, migrates=False) == []  # the loop reports it
    with pytest.raises(DatabaseMisconfigured) as refusal:
        async with served.connection() as connection:
            await begin_epoch(connection)
    assert f"GRANT EXECUTE ON FUNCTION app.duly_begin_epoch() TO {split.serving}" in refusal.value.line
    await split.migrate()  # which grants it to those who may make partitions
    await split.superuser.execute(elsewhere)
    async with served.connection() as connection:
        assert await begin_epoch(connection)
        assert not await begin_epoch(connection)


@pytest.mark.parametrize(
    ("revoked", "named"),
    [
        ("usage on schema {schema}", "GRANT USAGE ON SCHEMA app TO {serving}"),
        ("select on all tables in schema {schema}", "GRANT SELECT ON ALL TABLES IN SCHEMA app TO {serving}"),
        ("insert on {schema}.jobs", "GRANT INSERT ON app.jobs TO {serving}"),
        ("delete on {schema}.ready, {schema}.running", "GRANT DELETE ON app.ready, app.running TO {serving}"),
        ("select on {schema}.alembic_version", "GRANT SELECT ON app.alembic_version TO {serving}"),
    ],
)
async def test_a_start_without_a_right_names_the_grant(
    split: Split, served: Database, revoked: str, named: str
) -> None:
    what = revoked.format(schema=split.schema)
    await split.superuser.execute(f"revoke {what} from {split.serving}")
    with pytest.raises(CannotServe) as refusal:
        await prepare(served, migrates=False)
    said = str(refusal.value)
    assert named.format(serving=split.serving) in said
    assert "\n" not in said
    await split.superuser.execute(named.format(serving=split.serving))  # what it says is what it takes
    assert await prepare(served, migrates=False) == []


async def test_a_start_that_cannot_make_todays_partition_names_the_grant(split: Split, served: Database) -> None:
    await split.superuser.execute(f"revoke execute on function duly_make_partition(text, date) from {split.serving}")
    assert await prepare(served, migrates=False) == []  # the partitions are there
    today = await split.superuser.fetchval(READ_TODAY)
    await split.superuser.execute(f"drop table jobs_{today:%Y%m%d}")
    with pytest.raises(CannotServe) as refusal:
        await prepare(served, migrates=False)
    grant = f"GRANT EXECUTE ON FUNCTION app.duly_make_partition(text, date) TO {split.serving}"
    assert grant in str(refusal.value)
    async with running_service(split.serving_url, database_schema=split.schema) as service:
        await _not_ready(service, "DATABASE_PERMISSION_DENIED", "DATABASE_PARTITION_MISSING")
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo"})
        refused(answer, 503, "DATABASE_PARTITION_MISSING")
        await split.superuser.execute(grant)
        assert (await service.run("echo", 1))["result"] == 1


async def _not_ready(service: Service, *causes: str) -> dict[str, Any]:
    """Returns the error of `/readyz` with one of these causes. On a slow machine, it may be that of a timeout first."""

    async def look() -> dict[str, Any] | None:
        error = refused(await service.client.get("/readyz"), 503, "NOT_READY")
        return error if error["details"]["cause"] in causes else None

    error: dict[str, Any] = await eventually(look)
    return error


async def test_a_right_that_is_taken_away_while_serving_is_named_and_comes_back(split: Split, served: Database) -> None:
    async with running_service(split.serving_url, database_schema=split.schema) as service:
        assert (await service.run("echo", 1))["result"] == 1
        await split.superuser.execute(f"revoke insert on jobs from {split.serving}")
        error = await _not_ready(service, "DATABASE_PERMISSION_DENIED")
        assert "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE jobs TO" in error["details"]["remedy"]
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo"})
        refused(answer, 503, "DATABASE_PERMISSION_DENIED")
        await split.superuser.execute(f"grant insert on jobs to {split.serving}")
        await eventually(service.is_ready)
        assert (await service.run("echo", 1))["result"] == 1


async def test_a_role_whose_connections_are_used_up_is_told_so(split: Split, served: Database) -> None:
    async with running_service(split.serving_url, database_schema=split.schema) as service:
        await split.superuser.execute(f"alter role {split.serving} connection limit 1")
        assert await eventually(service.is_ready)  # submissions have their connection from the start

        async def accepted() -> bool:  # a loop may be using the pooled connection that reads the names of queues
            return (await service.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 202

        assert await eventually(accepted)
        await split.superuser.execute(f"alter role {split.serving} connection limit 0")
        await split.superuser.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1::name", split.serving
        )
        error = await _not_ready(service, "DATABASE_TOO_MANY_CONNECTIONS")
        assert "max_connections" in error["details"]["remedy"]
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo"})
        assert "for role" not in refused(answer, 503, "DATABASE_TOO_MANY_CONNECTIONS")["details"]["reason"]
        assert split.serving not in answer.text
        await split.superuser.execute(f"alter role {split.serving} connection limit -1")
        assert (await service.run("echo", 1))["result"] == 1


async def test_migrating_without_rights_is_told_in_one_line(empty_split: Split, processes: Processes) -> None:
    command = processes.run(
        "migrate", DULY_DATABASE_URL=empty_split.serving_url, DULY_DATABASE_SCHEMA=empty_split.schema
    )
    assert await command.ended() == 1
    [line] = [line for line in command.stderr.splitlines() if line.startswith("duly: ")]
    assert f"GRANT USAGE, CREATE ON SCHEMA app TO {empty_split.serving}" in line
    other = processes.run("migrate", DULY_DATABASE_URL=empty_split.serving_url)
    assert await other.ended() == 1
    [line] = [line for line in other.stderr.splitlines() if line.startswith("duly: ")]
    assert f"GRANT USAGE, CREATE ON SCHEMA public TO {empty_split.serving}" in line
    new = processes.run("migrate", DULY_DATABASE_URL=empty_split.serving_url, DULY_DATABASE_SCHEMA="new")
    assert await new.ended() == 1
    [line] = [line for line in new.stderr.splitlines() if line.startswith("duly: ")]
    assert "GRANT CREATE ON DATABASE" in line


async def test_a_start_without_rights_is_told_in_one_line(empty_split: Split, processes: Processes) -> None:
    await empty_split.migrate()
    command = processes.begin(empty_split.serving_url, DULY_DATABASE_SCHEMA=empty_split.schema)
    assert await command.ended() == 1
    [line] = [line for line in command.stderr.splitlines() if line.startswith("duly: ")]
    assert f"GRANT USAGE ON SCHEMA app TO {empty_split.serving}" in line


async def test_the_owner_alone_drops_what_is_past_retention(split: Split, served: Database) -> None:
    owner = Database(split.owner_url, schema=split.schema)
    async with owner.connection() as connection:
        assert await drop_expired(connection, retention_days=30) == []
        assert (await missing_rights(connection, split.schema)).grants == []
    await owner.close()


async def test_dropping_what_is_past_retention_is_a_command_of_the_owner(split: Split, processes: Processes) -> None:
    old = (await split.superuser.fetchval(READ_TODAY)) - timedelta(days=40)
    owner = Database(split.owner_url, schema=split.schema)
    async with owner.connection() as connection:
        for table in PARTITIONED:
            await _make(connection, table, old)
    await owner.close()
    command = processes.run(
        "migrate", "--drop-expired", DULY_DATABASE_URL=split.owner_url, DULY_DATABASE_SCHEMA=split.schema
    )
    assert await command.ended() == 0, command.stderr
    assert f"dropped: jobs_{old:%Y%m%d}, events_{old:%Y%m%d}" in command.stdout


@pytest.mark.parametrize("schema", ["app", "With Space", 'qu"ote', "ünïcode"])
async def test_all_lies_in_the_schema_of_the_setting(empty_database_url: str, schema: str) -> None:
    database = Database(empty_database_url, schema=schema)
    assert await prepare(database, migrates=True) != []
    signals.forget()
    async with running_service(empty_database_url, database_schema=schema) as service:
        assert (await service.run("echo", 5))["result"] == 5
        assert await eventually(service.is_ready)
        elsewhere = await service.sql(
            "select relname from pg_class c join pg_namespace n on n.oid = relnamespace "
            "where nspname <> $1 and nspname !~ '^pg_' and nspname <> 'information_schema'",
            schema,
        )
        assert elsewhere == []
    assert (await check(database)).clean
    assert await differences(database) == []
    await database.close()


async def test_two_installations_in_one_database_see_nothing_of_each_other(empty_database_url: str) -> None:
    signals.forget()
    for schema in (None, "other"):
        database = Database(empty_database_url, schema=schema)
        await prepare(database, migrates=True)
        await database.close()
    async with (
        running_service(empty_database_url) as one,
        running_service(empty_database_url, database_schema="other") as other,
    ):
        mine = (await one.submit("echo"))["jobId"]
        assert (await one.ended(mine))["status"] == "completed"
        assert (await other.client.get(f"/api/v1/jobs/{mine}")).status_code == 404
        assert (await other.client.get("/api/v1/jobs")).json()["items"] == []
