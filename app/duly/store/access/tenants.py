"""The table `tenants`: names and limits."""

from collections.abc import Collection
from dataclasses import astuple

from duly.domain.tenant import Tenant, TenantLimits
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection

_LIMITS = "submit_rate, submit_burst, backlog_limit, retention_days, max_endpoints, max_schedules, max_keys, max_queues"
_TENANT = f"tenant_id, name, created_at, {_LIMITS}"

ADD = f"""
insert into tenants (name, {_LIMITS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (name) do nothing returning {_TENANT}
"""


async def add_tenant(connection: Connection, name: str, limits: TenantLimits) -> Tenant | None:
    """Adds a tenant. Returns None if the name is taken."""
    row = await connection.fetchrow(ADD, name, *astuple(limits))
    return _tenant(row) if row is not None else None


FIND = f"select {_TENANT} from tenants where name = $1"
HOLD = FIND + " for update"


async def find_tenant(connection: Connection, name: str) -> Tenant | None:
    """Returns the tenant of this name."""
    row = await connection.fetchrow(FIND, name)
    return _tenant(row) if row is not None else None


async def hold_tenant(connection: Connection, name: str) -> Tenant | None:
    """Returns the tenant of this name, locked until the end of the caller's transaction."""
    row = await connection.fetchrow(HOLD, name)
    return _tenant(row) if row is not None else None


CHANGE = """
update tenants set submit_rate = $2, submit_burst = $3, backlog_limit = $4, retention_days = $5, max_endpoints = $6,
    max_schedules = $7, max_keys = $8, max_queues = $9
where tenant_id = $1
"""


async def change_limits(connection: Connection, tenant_id: int, limits: TenantLimits) -> None:
    """Replaces all limits of a tenant."""
    await connection.execute(CHANGE, tenant_id, *astuple(limits))


LIST = f"select {_TENANT} from tenants where name > $1 order by name limit $2"


async def list_tenants(connection: Connection, *, after: str, limit: int) -> list[Tenant]:
    """Returns a page of all tenants, by name."""
    return [_tenant(row) for row in await connection.fetch(LIST, after, limit)]


LIMITS_OF = f"select tenant_id, {_LIMITS} from tenants where tenant_id = any($1::int[])"


async def read_limits_of(connection: Connection, tenant_ids: Collection[int]) -> dict[int, TenantLimits]:
    """Returns the limits of these tenants."""
    rows = await connection.fetch(LIMITS_OF, list(tenant_ids))
    return {row[0]: TenantLimits(*row[1:]) for row in rows}


def _tenant(row: Record) -> Tenant:
    tenant_id, name, created_at, *limits = row
    return Tenant(tenant_id, name, TenantLimits(*limits), created_at)
