"""The predefined array types match those of the server, so no session looks one up."""

import asyncpg

from duly.store.postgres.catalog_types import _ARRAYS
from duly.store.postgres.database import Database

IN_THE_CATALOG = """
select a.oid::int, e.oid::int, e.typname::text
from pg_type a join pg_type e on e.oid = a.typelem
where a.oid = any($1::oid[]) and a.typname = '_' || e.typname and a.typdelim = ','
"""
VALUES = {
    "bool": [True, None],
    "bytea": [b"\x00a"],
    "int2": [-1],
    "int4": [2**31 - 1],
    "int8": [-(2**63)],
    "float4": [0.5],
    "float8": [0.1],
    "json": ['{"a": 1}'],
    "jsonb": ['{"a": 1}'],
}


async def test_the_numbers_are_those_of_the_catalog(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    found = await connection.fetch(IN_THE_CATALOG, list(_ARRAYS))
    await connection.close()
    assert {row[0]: (row[1], row[2]) for row in found} == dict(_ARRAYS)


async def test_arrays_go_there_and_back_and_no_type_is_looked_up(database_url: str) -> None:
    database = Database(database_url)
    sent: list[str] = []
    async with database.connection() as connection:
        with connection.query_logger(lambda query: sent.append(query.query)):
            for name, values in VALUES.items():
                assert await connection.fetchval(f"select $1::{name}[]", values) == values
            ids = await connection.fetchval("select array[gen_random_uuid(), null]")
            assert await connection.fetchval("select $1::uuid[]", ids) == ids
            times = await connection.fetchval("select array[now()]")
            assert await connection.fetchval("select $1::timestamptz[]", times) == times
    await database.close()
    assert [query for query in sent if "pg_type" in query] == []


async def test_any_other_type_is_looked_up_as_ever(database_url: str) -> None:
    database = Database(database_url)
    async with database.connection() as connection:
        assert await connection.fetchval("select array['a'::name]") == ["a"]
        assert str(await connection.fetchval("select '[1,5)'::int4range")) == "<Range [1, 5)>"
    await database.close()
