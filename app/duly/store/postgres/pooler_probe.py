"""Probes for a pooler in transaction mode, behind which LISTEN hears nothing, and for what it does with prepared
statements.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

from duly.store.postgres.catalog_types import Connection

READ_SESSION = "select pg_backend_pid()"
NOTIFY = "select pg_notify($1, '')"

# A statement and its name at the client.
PROBE, PROBE_NAME = "select 'duly'", "duly_probe"
READ_NAMES = "select name from pg_prepared_statements where statement = $1"

# A pooler without a free session lets a client wait; a notification takes milliseconds.
PROBE_SECONDS = 3.0


async def keeps_sessions(connect: Callable[[], Awaitable[Connection]]) -> bool:
    """Returns whether a connection keeps its session over two transactions and hears notifications.

    Both connections must work behind a pooler in transaction mode.
    """
    first = await connect()
    try:
        other = await connect()
        try:
            return await _keeps_its_session(first, other) and await _hears(first, other)
        finally:
            other.terminate()
    finally:
        first.terminate()


async def _keeps_its_session(first: Connection, other: Connection) -> bool:
    """Compares sessions before and while the other connection holds a transaction: a pooler in transaction mode lends
    it the session that the first one has just released.
    """
    before = await first.fetchval(READ_SESSION)
    async with other.transaction():
        await other.fetchval(READ_SESSION)
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                return bool(await first.fetchval(READ_SESSION) == before)
    return False  # there was no other session for it


async def _hears(first: Connection, other: Connection) -> bool:
    heard = asyncio.Event()
    channel = f"duly_probe_{uuid4().hex}"
    await first.add_listener(channel, lambda *_: heard.set())
    await other.execute(NOTIFY, channel)
    with suppress(TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            await heard.wait()
    return heard.is_set()


async def keeps_statements(connection: Connection) -> bool:
    """Returns whether a pooler in transaction mode prepares the statements of its clients on each server connection
    that it lends them: then it gives them names of its own there, as PgBouncer does from version 1.21 on. Leaves
    nothing in the session.
    """
    async with connection.transaction():
        prepared = await connection.prepare(PROBE, name=PROBE_NAME)  # closed as soon as nothing refers to it
        names = {row["name"] for row in await connection.fetch(READ_NAMES, prepared.get_query())}
        if PROBE_NAME in names:
            await connection.execute(f"deallocate {PROBE_NAME}")
    return bool(names) and PROBE_NAME not in names
