"""Lets database roles submit in their own transactions. Each change is audited, in its transaction."""

from duly.domain.audit import Actor, AuditEntry
from duly.errors import Conflict, NotFound
from duly.store.access.audit import record_change
from duly.store.access.submitters import add_submitter, delete_submitter, role_exists
from duly.store.postgres.database import Database


async def grant_submitting(database: Database, tenant_id: int, role: str, *, by: Actor) -> list[str]:
    """Lets a role submit for a tenant. Returns the schemas of the function.

    Raises:
        NotFound: the server has no such role.
        Conflict: the database has no function of this installation.
    """
    async with database.connection() as connection, connection.transaction():
        if not await role_exists(connection, role):
            raise NotFound(f'Role "{role}" not found in the database.')
        places = await add_submitter(connection, tenant_id, role)
        if not places:
            raise Conflict("The function duly.submit does not exist; run `duly migrate` as the owner of a schema duly.")
        await record_change(connection, tenant_id, by, AuditEntry("submitter.granted", role, None, {"role": role}))
    return places


async def revoke_submitting(database: Database, tenant_id: int, role: str, *, by: Actor) -> None:
    """Forbids a role to submit for a tenant.

    Raises:
        NotFound: it might not.
    """
    async with database.connection() as connection, connection.transaction():
        if not await delete_submitter(connection, tenant_id, role):
            raise NotFound(f'Role "{role}" may not submit for this tenant.')
        await record_change(connection, tenant_id, by, AuditEntry("submitter.revoked", role, {"role": role}))
