"""Bodies of `duly submitters`. Roles and rights belong to a server, so each cell has its own submitters."""

from typing import Any

from duly.cli.access_database import tenant_id_of, with_each_database
from duly.cli.command_setup import actor
from duly.cli.output import print_json
from duly.domain.safe_str import one_line
from duly.lifecycle.access.submitters import grant_submitting, revoke_submitting
from duly.store.access.submitters import Submitter, list_submitters
from duly.store.postgres.database import Database


def run_grant(flags: dict[str, Any], tenant: str, role: str) -> None:
    """Lets a role submit for a tenant."""

    async def grant(database: Database) -> list[str]:
        return await grant_submitting(database, await tenant_id_of(database, tenant), role, by=actor())

    def show(places: list[str]) -> None:
        functions = " and ".join(f"{place}.submit" for place in places)
        print(one_line(f"role {role} may call {functions} for tenant {tenant}"))

    with_each_database(flags, grant, show)


def run_revoke(flags: dict[str, Any], tenant: str, role: str) -> None:
    """Forbids a role to submit for a tenant."""

    async def revoke(database: Database) -> None:
        await revoke_submitting(database, await tenant_id_of(database, tenant), role, by=actor())

    with_each_database(flags, revoke, lambda _done: None)


def run_list(flags: dict[str, Any], *, as_json: bool) -> None:
    """Prints all roles with their tenants."""

    async def read(database: Database) -> list[Submitter]:
        async with database.connection() as connection:
            return await list_submitters(connection)

    def show(found: list[Submitter]) -> None:
        if as_json:
            print_json([each._asdict() for each in found], indent=2)
            return
        for each in found:
            print(one_line(f"{each.role}  {each.tenant}"))

    with_each_database(flags, read, show, as_json=as_json)
