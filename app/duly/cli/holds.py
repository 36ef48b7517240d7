"""Bodies of `duly holds`."""

from datetime import date
from typing import Any
from uuid import UUID

from duly.cli.access_database import tenant_id_of, with_database
from duly.cli.command_setup import actor
from duly.cli.errors import USAGE, stop
from duly.cli.output import print_json
from duly.domain.ids import made_at
from duly.domain.safe_str import one_line
from duly.domain.timestamps import rfc3339
from duly.lifecycle.maintenance.holds import create_hold, release_hold
from duly.store.ledger.retention_holds import Hold, HoldRecord, list_holds
from duly.store.postgres.database import Database


def run_create(flags: dict[str, Any], hold: Hold, *, tenant: str | None, job: str | None) -> None:
    """Creates a hold, of the day of a job if one is given."""
    if job is not None:
        hold = _of_job(hold, job)
    if hold.first_day is not None and hold.last_day is not None and hold.first_day > hold.last_day:
        stop("--from must not be after --to", code=USAGE)

    async def create(database: Database) -> bool:
        tenant_id = await tenant_id_of(database, tenant) if tenant is not None else None
        return await create_hold(database, hold._replace(tenant_id=tenant_id), tenant=tenant, by=actor())

    if not with_database(flags, create):
        stop(f'hold "{hold.name}" already exists; choose another name')
    print(one_line(f"created hold {hold.name}: {_days(hold.first_day, hold.last_day)} {_of(tenant)} are kept"))


def run_list(flags: dict[str, Any], *, as_json: bool) -> None:
    """Prints all holds, by name."""

    async def read(database: Database) -> list[HoldRecord]:
        async with database.connection() as connection:
            return await list_holds(connection)

    found = with_database(flags, read)
    if as_json:
        print_json([_members(hold) for hold in found], indent=2)
        return
    for hold in found:
        days = _days(hold.first_day, hold.last_day)
        print(one_line(f"{hold.name}: {days} {_of(hold.tenant)}; {hold.reason} ({hold.created_by})"))


def run_release(flags: dict[str, Any], name: str) -> None:
    """Releases a hold."""

    async def release(database: Database) -> None:
        await release_hold(database, name, by=actor())

    with_database(flags, release)
    print(one_line(f"released hold {name}"))


def _of_job(hold: Hold, job: str) -> Hold:
    try:
        day = made_at(UUID(job)).date()
    except ValueError:
        stop(f"--job must be the ID of a job, not {job!r}", code=USAGE)
    return hold._replace(first_day=day, last_day=day)


def _days(first: date | None, last: date | None) -> str:
    match first, last:
        case None, None:
            return "all days"
        case None, _:
            return f"days to {last}"
        case _, None:
            return f"days from {first}"
        case _:
            return f"days {first} to {last}"


def _of(tenant: str | None) -> str:
    return f"with jobs of tenant {tenant}" if tenant is not None else "of all tenants"


def _members(hold: HoldRecord) -> dict[str, Any]:
    return {
        "name": hold.name,
        "tenant": hold.tenant,
        "from": hold.first_day.isoformat() if hold.first_day else None,
        "to": hold.last_day.isoformat() if hold.last_day else None,
        "reason": hold.reason,
        "createdBy": hold.created_by,
        "createdAt": rfc3339(hold.created_at),
    }
