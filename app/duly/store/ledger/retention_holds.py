"""The table `retention_holds`: days of the ledger that the retention does not drop, as for a legal hold."""

from datetime import date, datetime
from typing import NamedTuple

from duly.domain.ids import smallest_id_at
from duly.store.postgres.catalog_types import Connection, only
from duly.store.postgres.partitions import midnight


class Hold(NamedTuple):
    """Days that are kept: those from `first_day` to `last_day`, each without limit if None. With `tenant_id`, only days
    with jobs of that tenant.
    """

    name: str
    reason: str
    tenant_id: int | None = None
    first_day: date | None = None
    last_day: date | None = None


class HoldRecord(NamedTuple):
    """Hold as it was created, with the name of its tenant."""

    name: str
    tenant: str | None
    first_day: date | None
    last_day: date | None
    reason: str
    created_by: str
    created_at: datetime


ADD = """
insert into retention_holds (name, reason, tenant_id, first_day, last_day, created_by) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing returning 1
"""


async def add_hold(connection: Connection, hold: Hold, *, created_by: str) -> bool:
    """Adds a hold. Returns whether the name was free."""
    return await connection.fetchval(ADD, *hold, created_by) is not None


DELETE = "delete from retention_holds where name = $1 returning 1"


async def delete_hold(connection: Connection, name: str) -> bool:
    """Deletes a hold. Returns whether it existed."""
    return await connection.fetchval(DELETE, name) is not None


LIST = """
select h.name, t.name, h.first_day, h.last_day, h.reason, h.created_by, h.created_at
from retention_holds h left join tenants t using (tenant_id) order by h.name
"""


async def list_holds(connection: Connection) -> list[HoldRecord]:
    """Returns all holds, by name."""
    return [HoldRecord(*row) for row in await connection.fetch(LIST)]


# Jobs of a tenant are found by the primary key, within the partition of the day.
IS_HELD = """
select exists (
    select from retention_holds h
    where $1::date between coalesce(h.first_day, '-infinity') and coalesce(h.last_day, 'infinity')
      and (h.tenant_id is null or exists (
          select from jobs j where j.tenant_id = h.tenant_id and j.job_id >= $2::uuid and j.job_id < $3::uuid))
)
"""


async def is_held(connection: Connection, day: date) -> bool:
    """Returns whether a hold keeps this day."""
    bounds = smallest_id_at(midnight(day)), smallest_id_at(midnight(date.fromordinal(day.toordinal() + 1)))
    return bool(only(await connection.fetchrow(IS_HELD, day, *bounds))[0])
