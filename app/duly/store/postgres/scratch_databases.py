"""Databases for tests: copies of a migrated template, each dropped after its use.

Test runs share a server. The databases of a run have its number in their names, and the run holds the advisory lock of
that number: what a killed run left behind is dropped by the next one.

Copying takes longer than everything else in a small test. Therefore spare copies are made in the background, and stay
for the next run; a run takes one by renaming it, which only one of several can do.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import asyncpg

from duly.store.postgres.database import Connection, quoted

TEMPLATE = "duly_pytest_template"
_PREFIX = "duly_pytest_run_"
# Serialises runs that find no template.
_MAKING = 0x64756C79

_SPARE = "duly_pytest_spare_"
SPARES = 2
_TAKEN = (asyncpg.InvalidCatalogNameError, asyncpg.ObjectInUseError)

HAS_TEMPLATE = "select exists (select from pg_database where datname = $1 and datistemplate)"
FIND_BY_PREFIX = "select datname from pg_database where starts_with(datname, $1)"
TRY_LOCK = "select pg_try_advisory_lock($1)"
LOCK = "select pg_advisory_lock($1)"
UNLOCK = "select pg_advisory_unlock($1)"
# A cache that can be made again needs no durability, which takes most of the time of small tests. The number of
# connections holds from the next start on.
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "500"}

MakeTemplate = Callable[[str], Awaitable[None]]


class ScratchDatabases:
    """The databases of one test run. `open_scratch_databases` returns them.

    Args:
        number: number of the run, whose advisory lock `connection` holds.
        connection: a connection to the server.
        background: another one, for work that nobody waits for.
        url_of: returns the URL of a database of the server by its name.
    """

    def __init__(
        self, number: int, connection: Connection, background: Connection, url_of: Callable[[str], str]
    ) -> None:
        self._connection = connection
        self._background = background
        self._url_of = url_of
        self._names = (f"{_PREFIX}{number}_{n}" for n in itertools.count(1))
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(self) -> tuple[str, str]:
        """Returns the name and the URL of a new database."""
        name = next(self._names)
        if not await self._took_spare(name):
            await self._connection.execute(_copying(name))
        self._later(self._make_spares())
        return name, self._url_of(name)

    async def _took_spare(self, name: str) -> bool:
        for (spare,) in await self._connection.fetch(FIND_BY_PREFIX, _SPARE):
            try:
                await self._connection.execute(f"alter database {quoted(spare)} rename to {quoted(name)}")
            except _TAKEN:  # by another run
                continue
            return True
        return False

    def drop(self, name: str) -> None:
        """Drops a database in the background, with the connections to it."""
        self._later(self._drop(name))

    async def _drop(self, name: str) -> None:
        async with self._turn:
            await self._background.execute(_dropping(name))

    async def _make_spares(self) -> None:
        async with self._turn:
            while len(await self._background.fetch(FIND_BY_PREFIX, _SPARE)) < SPARES:
                number = random.randrange(1 << 62)  # noqa: S311  # not a secret
                await self._background.execute(_copying(f"{_SPARE}{number}"))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finishes the work in the background, and ends the run."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._background.close()
        await self._connection.close()


async def open_scratch_databases(url_of: Callable[[str], str], make_template: MakeTemplate) -> ScratchDatabases:
    """Begins a run: creates the template if it is missing, and drops the databases of killed runs.

    Args:
        url_of: as in `ScratchDatabases`.
        make_template: migrates the database of this URL.
    """
    connection = await asyncpg.connect(url_of("postgres"))
    number = random.randrange(1, 1 << 31)  # noqa: S311  # not a secret
    await connection.fetchval(TRY_LOCK, number)
    if not await connection.fetchval(HAS_TEMPLATE, TEMPLATE):
        await _make_template(connection, partial(make_template, url_of(TEMPLATE)))
    await _drop_orphans(connection, exclude=number)
    return ScratchDatabases(number, connection, await asyncpg.connect(url_of("postgres")), url_of)


async def _make_template(connection: Connection, migrate: Callable[[], Awaitable[None]]) -> None:
    """Creates the template, in one run of the machine at a time."""
    await connection.fetchval(LOCK, _MAKING)
    try:
        if await connection.fetchval(HAS_TEMPLATE, TEMPLATE):
            return
        for name, value in SETTINGS.items():
            await connection.execute(f"alter system set {name} = {value}")
        await connection.execute("select pg_reload_conf()")
        await connection.execute(_dropping(TEMPLATE))
        await connection.execute(f"create database {TEMPLATE}")
        await migrate()
        await connection.execute(f"alter database {TEMPLATE} with is_template true allow_connections false")
    finally:
        await connection.fetchval(UNLOCK, _MAKING)


async def _drop_orphans(connection: Connection, *, exclude: int) -> None:
    for (name,) in await connection.fetch(FIND_BY_PREFIX, _PREFIX):
        number = int(name.removeprefix(_PREFIX).partition("_")[0])
        if number != exclude and await connection.fetchval(TRY_LOCK, number):
            await connection.execute(_dropping(name))
            await connection.fetchval(UNLOCK, number)


def _copying(name: str) -> str:
    return f"create database {quoted(name)} template {TEMPLATE} strategy file_copy"


def _dropping(name: str) -> str:
    return f"drop database if exists {quoted(name)} with (force)"
