"""Version of keys and tenants: nodes that have cached an earlier one read them again.

In the table `control`, under the id 2. Every change raises it in its own transaction.
"""

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection

READ = """
select coalesce((select version from control where id = 2), 0), exists (select from api_keys)
"""


async def read_access_version(connection: Connection) -> tuple[int, bool]:
    """Returns the version, and whether any key was ever made."""
    version, any_key = only(await connection.fetchrow(READ))
    return version, any_key


RAISE = """
insert into control as c (id, version) values (2, 1) on conflict (id) do update set version = c.version + 1
"""


async def raise_access_version(connection: Connection) -> None:
    """Raises the version, in a transaction of the caller's that changes a key or a tenant."""
    await connection.execute(RAISE)


HAS_TABLE = "select to_regclass('api_keys') is not null"


async def has_keys(connection: Connection) -> bool:
    """Returns whether any key was ever made; False in a database that was not migrated."""
    if not await connection.fetchval(HAS_TABLE):
        return False
    found: bool = await connection.fetchval("select exists (select from api_keys)")
    return found
