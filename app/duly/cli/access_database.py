"""The database of `duly keys` and `duly tenants`, with errors on one line."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from duly.cli.command_setup import new_database, opened_database, read_settings
from duly.cli.errors import stop
from duly.cli.prepare_database import CannotServe, prepare
from duly.errors import DulyError, NotFound, NotImplementedHere
from duly.settings import Settings
from duly.store.access.tenants import find_tenant
from duly.store.postgres.database import Database, DatabaseError
from duly.telemetry.structured_logs import configure_logs

Result = TypeVar("Result")


def with_database(flags: dict[str, Any], work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Runs `work` on the configured database, or ends the command. An embedded database is migrated before, so that
    the first key can be made before the service runs.
    """
    settings = read_settings(flags)
    configure_logs(settings.log_format, "warning")
    with opened_database(settings) as opened:
        try:
            return asyncio.run(_run(settings, opened.url, work, migrates=opened.server is not None))
        except CannotServe as error:
            stop(str(error))
        except DulyError as error:
            more = f" {error.reason}" if isinstance(error, NotImplementedHere) else ""
            stop(f"{error.message}{more}".rstrip("."))
        except DatabaseError as error:
            stop(error.line)


async def _run(
    settings: Settings, url: str, work: Callable[[Database], Awaitable[Result]], *, migrates: bool
) -> Result:
    database = new_database(settings, url)
    try:
        await prepare(database, migrates=migrates)
        return await work(database)
    finally:
        await database.close()


async def tenant_id_of(database: Database, name: str) -> int:
    """Returns the id of a tenant.

    Raises:
        NotFound: there is no tenant of this name.
    """
    async with database.connection() as connection:
        found = await find_tenant(connection, name)
    if found is None:
        raise NotFound(f'tenant "{name}" not found; see `duly tenants list`')
    return found.tenant_id
