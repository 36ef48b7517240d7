"""The database of `duly keys`, `duly tenants` and `duly submitters`, with errors on one line."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from duly.cli.command_setup import new_database, opened_database, read_settings
from duly.cli.each_cell import in_each_cell, settings_of_cells
from duly.cli.errors import USAGE, say, stop
from duly.cli.prepare_database import CannotServe, prepare
from duly.errors import DulyError, Invalid, NotFound, PathError
from duly.lifecycle.submit.validate_model import read_model
from duly.settings import Settings
from duly.store.access.tenants import find_tenant
from duly.store.postgres.database import Database, DatabaseError
from duly.telemetry.structured_logs import configure_logs

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)


def with_database(flags: dict[str, Any], work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Runs `work` on the configured database, or ends the command. An embedded database is migrated before, so that
    the first key can be made before the service runs. With several cells, it runs on cell 0, whose configuration is
    then copied to the others.
    """
    settings = read_settings(flags)
    configure_logs(settings.log_format, "warning")
    if settings.cells is not None:
        return _with_cells(settings, work)
    return _with_one(settings, work)


def with_each_database(
    flags: dict[str, Any],
    work: Callable[[Database], Awaitable[Result]],
    show: Callable[[Result], None],
    *,
    as_json: bool = False,
) -> None:
    """Runs `work` on the configured database, or on each cell, and shows its result; see `in_each_cell`."""
    settings = read_settings(flags)
    configure_logs(settings.log_format, "warning")
    in_each_cell(settings, lambda of_cell, _cell: show(_with_one(of_cell, work)), as_json=as_json)


def _with_one(settings: Settings, work: Callable[[Database], Awaitable[Result]]) -> Result:
    with opened_database(settings) as opened:
        try:
            return asyncio.run(_run(settings, opened.url, work, migrates=opened.server is not None))
        except CannotServe as error:
            stop(str(error))
        except DulyError as error:
            stop(error.message.rstrip("."))
        except DatabaseError as error:
            stop(error.line)


def _with_cells(settings: Settings, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Runs `work` on cell 0 and copies. Cells that cannot be reached are named on standard error: the service brings
    them up to date.
    """
    (_, home), *others = settings_of_cells(settings)
    result = _with_one(home, work)
    for cell, of_cell in others:
        try:
            asyncio.run(_copy(home, of_cell))
        except DatabaseError as error:
            say(f"cell {cell.number} did not get the change, and will when the service reaches it: {error.line}")
    return result


async def _copy(home: Settings, cell: Settings) -> None:
    from duly.cells.copies import copy_configuration  # noqa: PLC0415  # with several cells only

    source, target = (
        new_database(each, each.database_url.get_secret_value()) for each in (home, cell) if each.database_url
    )
    try:
        await copy_configuration(source, target)
    finally:
        await source.close()
        await target.close()


async def _run(
    settings: Settings, url: str, work: Callable[[Database], Awaitable[Result]], *, migrates: bool
) -> Result:
    database = new_database(settings, url)
    try:
        await prepare(database, migrates=migrates)
        return await work(database)
    finally:
        await database.close()


def checked(model: type[Model], members: dict[str, Any], *, flags: Mapping[str, str]) -> Model:
    """Validates members that flags were given for by the model of the API, or ends the command.

    Args:
        flags: flags by the name of their member.
    """
    try:
        return read_model(model, members)
    except Invalid as error:
        first = PathError(**error.details["errors"][0])
        flag = flags.get(re.split(r"[.[]", first.path)[0], first.path)
        stop(f"{flag}: {first.message}", code=USAGE)


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
