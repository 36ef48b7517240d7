"""The channel of hints: one for each schema, so that installations in one database do not hear each other."""

import asyncio

import asyncpg
import pytest

from duly.store.postgres.database import Database
from duly.store.postgres.notify import LONGEST_BYTES, channel_of, listen, send_hints


def test_in_public_it_is_the_channel_of_older_releases() -> None:
    assert channel_of("public") == "duly"


@pytest.mark.parametrize("schema", ["app", "App", 'qu"ote', "with space", "ü" * 31, "x" * 63, "ünïcode" * 7])
def test_each_schema_has_a_channel_that_postgres_takes(schema: str) -> None:
    channel = channel_of(schema)
    assert channel != "duly"
    assert len(channel.encode()) <= LONGEST_BYTES
    assert channel_of(schema + "2") != channel


def test_schemas_that_differ_at_their_end_only_have_channels_of_their_own() -> None:
    assert channel_of("x" * 62 + "a") != channel_of("x" * 62 + "b")


@pytest.mark.parametrize("schema", ['qu"ote', "x" * 63])
async def test_a_hint_is_heard_in_its_schema_and_nowhere_else(database_url: str, schema: str) -> None:
    dba = await asyncpg.connect(database_url)
    quoted = schema.replace('"', '""')
    await dba.execute(f'create schema "{quoted}"')
    heard: dict[str, list[object]] = {"public": [], "listener": [], "sender": []}
    woken = asyncio.Event()

    def hear(hint: object) -> None:
        heard["listener"].append(hint)
        woken.set()

    public, one, other = (
        Database(database_url),
        Database(database_url, schema=schema),
        Database(database_url, schema=schema),
    )
    async with public.hot().use() as beside, one.hot().use() as listener, other.hot().use() as sender:
        await listen(beside, heard["public"].append)
        await listen(listener, hear)
        channel = await listen(sender, heard["sender"].append)
        await send_hints(sender, channel, [["hello"]])
        async with asyncio.timeout(60):
            await woken.wait()
        await beside.execute("select 1")  # what was sent before this came has come
    assert heard == {"public": [], "listener": [["hello"]], "sender": []}
    for database in (public, one, other):
        await database.close()
    await dba.execute(f'drop schema "{quoted}"')
    await dba.close()
