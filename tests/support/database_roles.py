"""Installation with separate roles: an owner of the schema that migrates, and a role that only serves."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from duly.store.postgres.database import Database
from duly.store.postgres.partitions import READ_TODAY
from duly.store.schema.migrations import migrate
from tests.support.postgres_servers import Server

GRANTS = (
    "grant usage on schema {schema} to {serving}",
    "grant select, insert, update, delete on all tables in schema {schema} to {serving}",
    "grant execute on function {schema}.duly_make_partition(text, date) to {serving}",
    "grant execute on function {schema}.duly_begin_epoch() to {serving}",
)
LEAVE_SECONDS = 60.0
ROLES = {"owner": "owner_of_copies", "serving": "serving_copies"}


@dataclass
class Split:
    """Both roles of one database, and a connection of its superuser."""

    schema: str
    owner_url: str
    serving_url: str
    owner: str
    serving: str
    superuser: Any

    async def create_schema(self) -> None:
        await self.superuser.execute(f'create schema "{self.schema}" authorization {self.owner}')
        await self.superuser.execute("revoke create on schema public from public")

    async def grant(self, *grants: str) -> None:
        for each in grants:
            await self.superuser.execute(each.format(schema=self.schema, serving=self.serving))

    async def migrate(self) -> None:
        database = Database(self.owner_url, schema=self.schema)
        await migrate(database)
        await database.close()


@asynccontextmanager
async def split_roles(url: str, schema: str = "app") -> AsyncIterator[Split]:
    """Creates the roles for an empty database."""
    name = url.partition("?")[0].rpartition("/")[2]
    split = await _split(url, schema, owner=f"owner_{name}", serving=f"serving_{name}")
    owner, serving, superuser = split.owner, split.serving, split.superuser
    for role in (owner, serving):
        await superuser.execute(f"create role {role} login")
    await split.create_schema()
    yield split
    for role in (serving, owner):
        await superuser.execute(
            f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = '{role}'"  # noqa: S608  # ours
        )
        await superuser.execute(f"drop owned by {role} cascade")
        await superuser.execute(f"drop role {role}")
    await superuser.close()


class SplitDatabases:
    """Databases of a server that one role has migrated and another may serve: copies of one, with the same roles."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._has_roles = False
        self._templates: set[str] = set()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Split]:
        """Yields a copy for one test, and drops it after the block."""
        # Partitions are made for today and some days ahead: after midnight, yesterday's lack one.
        today = await self._run(READ_TODAY)
        template = f"split_template_{today:%Y%m%d}"
        if template not in self._templates:
            await self._make_template(template)
        name = f"split_{next(self._numbers)}"
        await self._run(f"create database {name} template {template} strategy file_copy")
        split = await _split(self._server.url_of(name), "app", **ROLES)
        yield split
        await split.superuser.close()
        await self._run(f"drop database {name} with (force)")
        for role in ROLES.values():
            await self._run(f"alter role {role} connection limit -1")

    async def _make_template(self, name: str) -> None:
        if not self._has_roles:
            for role in ROLES.values():
                await self._run(f"create role {role} login")
            self._has_roles = True
        await self._run(f"create database {name}")
        split = await _split(self._server.url_of(name), "app", **ROLES)
        await split.create_schema()
        await split.migrate()
        await split.grant(*GRANTS)
        await split.superuser.close()
        self._templates.add(name)

    async def _run(self, statement: str) -> Any:
        """Runs a statement outside the copies; repeats it while sessions of its database are still ending."""
        postgres = await asyncpg.connect(self._server.url_of("postgres"))
        async with asyncio.timeout(LEAVE_SECONDS):
            while True:
                try:
                    result = await postgres.fetchval(statement)
                except asyncpg.ObjectInUseError:
                    continue
                break
        await postgres.close()
        return result


async def _split(url: str, schema: str, *, owner: str, serving: str) -> Split:
    superuser = await asyncpg.connect(url, server_settings={"search_path": schema})
    return Split(schema, _as(url, owner), _as(url, serving), owner, serving, superuser)


def _as(url: str, role: str) -> str:
    assert "://postgres@" in url
    return url.replace("://postgres@", f"://{role}@", 1)
