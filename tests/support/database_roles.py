"""Installation with separate roles: an owner of the schema that migrates, and a role that only serves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate

GRANTS = (
    "grant usage on schema {schema} to {serving}",
    "grant select, insert, update, delete on all tables in schema {schema} to {serving}",
    "grant execute on function {schema}.duly_make_partition(text, date) to {serving}",
    "grant execute on function {schema}.duly_begin_epoch() to {serving}",
)


@dataclass
class Split:
    """Both roles of one database, and a connection of its superuser."""

    schema: str
    owner_url: str
    serving_url: str
    serving: str
    superuser: Any

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
    owner, serving = f"owner_{name}", f"serving_{name}"
    superuser = await asyncpg.connect(url, server_settings={"search_path": schema})
    for role in (owner, serving):
        await superuser.execute(f"create role {role} login")
    await superuser.execute(f'create schema "{schema}" authorization {owner}')
    await superuser.execute("revoke create on schema public from public")
    yield Split(schema, _as(url, owner), _as(url, serving), serving, superuser)
    for role in (serving, owner):
        await superuser.execute(
            f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = '{role}'"  # noqa: S608  # ours
        )
        await superuser.execute(f"drop owned by {role} cascade")
        await superuser.execute(f"drop role {role}")
    await superuser.close()


def _as(url: str, role: str) -> str:
    assert "://postgres@" in url
    return url.replace("://postgres@", f"://{role}@", 1)
