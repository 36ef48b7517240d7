"""Creates tenants and changes their limits. Each change is audited, under the tenant `default`, in its transaction."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from duly.domain.audit import Actor, AuditEntry
from duly.domain.job import DEFAULT_TENANT
from duly.domain.tenant import Tenant, TenantLimits
from duly.errors import NotFound, TenantExists
from duly.store.access.audit import record_change
from duly.store.access.tenants import add_tenant, change_limits, hold_tenant
from duly.store.access.version import raise_access_version
from duly.store.postgres.database import Database


async def create_tenant(database: Database, name: str, limits: TenantLimits, *, by: Actor) -> Tenant:
    """Creates a tenant.

    Raises:
        TenantExists: the name is taken.
    """
    async with database.connection() as connection, connection.transaction():
        created = await add_tenant(connection, name, limits)
        if created is None:
            raise TenantExists(f'Tenant "{name}" already exists.', reason="Choose another name, or change its limits.")
        entry = AuditEntry("tenant.created", name, None, limit_members(limits))
        await record_change(connection, DEFAULT_TENANT, by, entry)
        await raise_access_version(connection)
    return created


async def update_tenant(database: Database, name: str, changes: Mapping[str, Any], *, by: Actor) -> Tenant:
    """Replaces some limits of a tenant, by their names in `TenantLimits`.

    Raises:
        NotFound: there is no such tenant.
    """
    async with database.connection() as connection, connection.transaction():
        held = await hold_tenant(connection, name)
        if held is None:
            raise tenant_not_found()
        limits = replace(held.limits, **changes)
        await change_limits(connection, held.tenant_id, limits)
        entry = AuditEntry("tenant.changed", name, limit_members(held.limits), limit_members(limits))
        await record_change(connection, DEFAULT_TENANT, by, entry)
        await raise_access_version(connection)
    return replace(held, limits=limits)


def limit_members(limits: TenantLimits) -> dict[str, Any]:
    """Returns limits by their names in the API."""
    return {_camel(name): value for name, value in asdict(limits).items()}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def tenant_not_found() -> NotFound:
    """Returns the error for a tenant that does not exist."""
    return NotFound("Tenant not found.")
