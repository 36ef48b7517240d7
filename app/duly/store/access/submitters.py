"""Database roles that submit in their own transactions: rights on `duly.submit`, and tenants in `submitters`."""

from typing import NamedTuple

from duly.store.postgres.database import Connection, quoted
from duly.store.postgres.submit_function import SIGNATURES, find_places

ROLE_EXISTS = "select exists (select from pg_roles where rolname = $1)"
ADD = "insert into submitters (tenant_id, role) values ($1, $2) on conflict do nothing"
DELETE = "delete from submitters where tenant_id = $1 and role = $2"
HAS_TENANTS = "select exists (select from submitters where role = $1)"
LIST = """
select s.role, t.name from submitters s join tenants t on t.tenant_id = s.tenant_id
order by s.role, t.name
"""


class Submitter(NamedTuple):
    """Role, and the name of a tenant that it may submit for."""

    role: str
    tenant: str


async def role_exists(connection: Connection, role: str) -> bool:
    """Returns whether the server has a role of this name."""
    return bool(await connection.fetchval(ROLE_EXISTS, role))


async def add_submitter(connection: Connection, tenant_id: int, role: str) -> list[str]:
    """Lets a role submit for a tenant. Returns the schemas in which it may execute the function."""
    places = await find_places(connection)
    for place in places:
        await connection.execute(f"grant usage on schema {place} to {quoted(role)}")
        for signature in SIGNATURES:
            await connection.execute(f"grant execute on function {place}.submit({signature}) to {quoted(role)}")
    await connection.execute(ADD, tenant_id, role)
    return places


async def delete_submitter(connection: Connection, tenant_id: int, role: str) -> bool:
    """Forbids a role to submit for a tenant; after its last one it may not execute the function. Returns False if it
    might not submit for the tenant.
    """
    if await connection.execute(DELETE, tenant_id, role) == "DELETE 0":
        return False
    if await role_exists(connection, role) and not await connection.fetchval(HAS_TENANTS, role):
        for place in await find_places(connection):
            for signature in SIGNATURES:
                await connection.execute(f"revoke execute on function {place}.submit({signature}) from {quoted(role)}")
    return True


async def list_submitters(connection: Connection) -> list[Submitter]:
    """Returns all roles with their tenants."""
    return [Submitter(*row) for row in await connection.fetch(LIST)]
