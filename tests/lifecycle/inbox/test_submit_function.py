"""Rights, tenants and schemas of the function `duly.submit`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from duly.domain.ids import made_at
from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support.database_pool import TestDatabases
from tests.support.database_roles import Split, split_roles
from tests.support.service import Service, running_service

StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def superuser(empty_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def logged_in(superuser: Any, url: str, role: str, *grants: str) -> AsyncIterator[Any]:
    """Connection of a new role with these privileges."""
    await superuser.execute(f"create role {role} login")
    for each in grants:
        await superuser.execute(f"grant {each} to {role}")
    connection = await asyncpg.connect(url.replace("://postgres@", f"://{role}@", 1))
    try:
        yield connection
    finally:
        await connection.close()
        await superuser.execute(f"drop owned by {role}")
        await superuser.execute(f"drop role {role}")


async def migrated(url: str, *schemas: str | None) -> None:
    for schema in schemas:
        database = Database(url, schema=schema)
        await migrate(database)
        await database.close()


USAGE = "usage on schema duly"
EXECUTE = "execute on all functions in schema duly"


async def test_a_role_needs_nothing_but_the_right_to_execute(superuser: Any, empty_database_url: str) -> None:
    await migrated(empty_database_url, None)
    async with logged_in(superuser, empty_database_url, "clerk", USAGE, EXECUTE) as clerk:
        assert isinstance(await clerk.fetchval("select duly.submit('echo')"), UUID)
        for table in ("inbox", "jobs", "submitters"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await clerk.fetch(f"select * from {table}")  # noqa: S608  # fixed names


async def test_no_other_role_may_submit(superuser: Any, empty_database_url: str) -> None:
    await migrated(empty_database_url, None)
    async with logged_in(superuser, empty_database_url, "stranger", USAGE) as stranger:
        for given in ("'{}'", "'{}'::json", "'{}'::jsonb"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await stranger.fetchval(f"select duly.submit('echo', {given})")


async def test_what_a_caller_puts_on_its_search_path_is_not_called(superuser: Any, empty_database_url: str) -> None:
    await migrated(empty_database_url, None)
    async with logged_in(superuser, empty_database_url, "thief", USAGE, EXECUTE, "create on schema public") as thief:
        await thief.execute(
            "create function public.octet_length(json) returns int language sql as 'select 1 / 0';"
            "create temporary table inbox (tenant_id int);"
            "set search_path = pg_temp, public, pg_catalog"
        )
        assert isinstance(await thief.fetchval("select duly.submit('echo')"), UUID)
    assert await superuser.fetchval("select count(*) from public.inbox") == 1


async def test_a_role_submits_for_the_tenants_that_it_was_granted_and_no_other(
    superuser: Any, empty_database_url: str
) -> None:
    await migrated(empty_database_url, None)
    await superuser.execute("insert into tenants (name) values ('acme'), ('globex')")
    async with logged_in(superuser, empty_database_url, "seller", USAGE, EXECUTE) as seller:

        async def submit(options: str = "{}") -> Any:
            return await seller.fetchval("select duly.submit('echo', options => $1)", options)

        await submit('{"tenant": "default"}')
        for foreign in ("acme", "nothing"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match=foreign):
                await submit(f'{{"tenant": "{foreign}"}}')
        await superuser.execute("insert into submitters (tenant_id, role) values (2, 'seller')")
        await submit()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await submit('{"tenant": "default"}')
        await superuser.execute("insert into submitters (tenant_id, role) values (3, 'seller')")
        with pytest.raises(asyncpg.InvalidParameterValueError, match="several tenants"):
            await submit()
        await submit('{"tenant": "globex"}')
    assert [row[0] for row in await superuser.fetch("select tenant_id from inbox order by job_id")] == [1, 2, 3]


async def test_an_id_has_the_time_of_the_call_and_ids_of_one_session_rise(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    before = await connection.fetchval("select clock_timestamp()")
    ids = [await connection.fetchval("select duly.submit('echo')") for _ in range(100)]
    after = await connection.fetchval("select clock_timestamp()")
    await connection.execute("delete from inbox")
    await connection.close()
    assert ids == sorted(set(ids))
    assert {(job_id.version, job_id.variant) for job_id in ids} == {(7, UUID(int=0).variant)} or all(
        job_id.version == 7 for job_id in ids
    )
    assert (before - made_at(ids[0])).total_seconds() < 0.001
    assert made_at(ids[-1]) <= after


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("null", "takes a job type"),
        ("'echo', options => '[]'", "options as a JSON object"),
        ("'echo', '{'", "invalid input syntax for type json"),
        ("'echo', to_json(repeat('x', 17000000))", "takes at most"),
    ],
)
async def test_a_call_that_cannot_become_a_job_is_an_error_of_the_transaction(
    database_url: str, call: str, error: str
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.PostgresError, match=error):
            await connection.fetchval(f"select duly.submit({call})")
    finally:
        await connection.close()


async def test_an_installation_in_a_schema_of_its_own_has_the_function_under_both_names(
    superuser: Any, empty_database_url: str
) -> None:
    await migrated(empty_database_url, "jobs_of_shop")
    async with running_service(empty_database_url, database_schema="jobs_of_shop") as service:
        for name in ("duly", "jobs_of_shop"):
            job_id = await superuser.fetchval(f"select {name}.submit('echo')")
            assert (await service.ended(str(job_id)))["status"] == "completed"


async def test_a_second_installation_of_a_database_leaves_the_function_of_the_first(
    superuser: Any, empty_database_url: str
) -> None:
    await migrated(empty_database_url, "one", "two", "one")
    await superuser.execute("select duly.submit('echo'), one.submit('echo'), two.submit('echo')")
    counts = "select (select count(*) from one.inbox), (select count(*) from two.inbox)"
    assert tuple(await superuser.fetchrow(counts)) == (2, 1)


async def test_an_owner_without_the_right_to_create_schemas_has_it_in_its_own(
    databases: TestDatabases, empty_database_url: str
) -> None:
    async with split_roles(empty_database_url) as split:
        await split.migrate()
        assert await _places(split) == ["app"]
        owner = split.owner_url.partition("://")[2].partition("@")[0]
        await split.superuser.execute(f"create schema duly authorization {owner}")
        await split.migrate()
        assert await _places(split) == ["app", "duly"]


async def _places(split: Split) -> list[str]:
    rows = await split.superuser.fetch(
        "select distinct nspname from pg_proc p join pg_namespace n on n.oid = pronamespace where proname = 'submit'"
    )
    return sorted(row[0] for row in rows)
