"""Creates and releases holds of the retention. Each change is audited, under the tenant `default`, in its
transaction.
"""

from typing import Any

from duly.domain.audit import Actor, AuditEntry
from duly.domain.job import DEFAULT_TENANT
from duly.errors import NotFound
from duly.store.access.audit import record_change
from duly.store.ledger.retention_holds import Hold, add_hold, delete_hold
from duly.store.postgres.database import Database


async def create_hold(database: Database, hold: Hold, *, tenant: str | None, by: Actor) -> bool:
    """Creates a hold. Returns False if the name is taken.

    Args:
        tenant: name of the hold's tenant, for the audit log.
    """
    async with database.connection() as connection, connection.transaction():
        if not await add_hold(connection, hold, created_by=by.name):
            return False
        await record_change(
            connection, DEFAULT_TENANT, by, AuditEntry("hold.created", hold.name, None, _members(hold, tenant))
        )
    return True


async def release_hold(database: Database, name: str, *, by: Actor) -> None:
    """Deletes a hold: the next housekeeping drops what it kept.

    Raises:
        NotFound: there is no hold of this name.
    """
    async with database.connection() as connection, connection.transaction():
        if not await delete_hold(connection, name):
            raise NotFound(f'hold "{name}" not found; see `duly holds list`')
        await record_change(connection, DEFAULT_TENANT, by, AuditEntry("hold.released", name))


def _members(hold: Hold, tenant: str | None) -> dict[str, Any]:
    days = {"from": hold.first_day, "to": hold.last_day}
    shown = {name: day.isoformat() for name, day in days.items() if day is not None}
    return {"reason": hold.reason, **({"tenant": tenant} if tenant is not None else {}), **shown}
