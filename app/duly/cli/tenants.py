"""Bodies of `duly tenants`."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydantic.alias_generators import to_camel

from duly.api.access.tenants import TenantChange
from duly.cli.access_database import checked, with_database
from duly.cli.command_setup import actor
from duly.cli.errors import USAGE, stop
from duly.cli.output import print_json
from duly.domain.safe_str import one_line
from duly.domain.tenant import TENANT_NAME, Tenant, TenantLimits
from duly.domain.timestamps import rfc3339
from duly.lifecycle.access.tenants import create_tenant, limit_members, update_tenant
from duly.store.access.tenants import list_tenants
from duly.store.postgres.database import Database

PAGE = 200
NONE = "none"
_NAMES = [field.name for field in fields(TenantLimits)]


def run_create(flags: dict[str, Any], name: str, limits: Sequence[str | None]) -> None:
    """Creates a tenant."""
    if not TENANT_NAME.fullmatch(name):
        stop("TENANT must have 1 to 63 of the characters a-z, 0-9 and -", code=USAGE)
    chosen = TenantLimits(**_limits(limits))

    async def create(database: Database) -> Tenant:
        return await create_tenant(database, name, chosen, by=actor())

    with_database(flags, create)
    print(f"created tenant {name}; create its first key: duly keys create NAME --tenant {name} --scope admin")


def run_list(flags: dict[str, Any], *, as_json: bool) -> None:
    """Prints all tenants, by name."""

    async def read(database: Database) -> list[Tenant]:
        found: list[Tenant] = []
        async with database.connection() as connection:
            while page := await list_tenants(connection, after=found[-1].name if found else "", limit=PAGE):
                found += page
        return found

    found = with_database(flags, read)
    if as_json:
        print_json([_members(tenant) for tenant in found], indent=2)
        return
    for tenant in found:
        print("  ".join([tenant.name, *_words(tenant.limits)]))


def run_set(flags: dict[str, Any], name: str, limits: Sequence[str | None]) -> None:
    """Changes limits of a tenant."""
    changes = _limits(limits)
    if not changes:
        stop("name at least one limit to change; see --help", code=USAGE)

    async def change(database: Database) -> Tenant:
        return await update_tenant(database, name, changes, by=actor())

    changed = with_database(flags, change)
    print(one_line("  ".join([changed.name, *_words(changed.limits)])))


def _limits(texts: Sequence[str | None]) -> dict[str, Any]:
    """Returns the limits that were given, by name, or ends the command if one is invalid."""
    limits = {name: _number(name, text) for name, text in zip(_NAMES, texts, strict=True) if text is not None}
    flags = {to_camel(name): _flag(name) for name in limits}
    checked(TenantChange, {to_camel(name): number for name, number in limits.items()}, flags=flags)
    return limits


def _number(name: str, text: str) -> float | None:
    """Returns a limit, or ends the command if it is no number."""
    if text == NONE:
        return None
    try:
        number: float = float(text) if name == "submit_rate" else int(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        stop(f"{_flag(name)} must be a number or {NONE}, not {text!r}", code=USAGE)
    return number


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _members(tenant: Tenant) -> dict[str, Any]:
    return {"tenant": tenant.name, **limit_members(tenant.limits), "createdAt": rfc3339(tenant.created_at)}


def _words(limits: TenantLimits) -> list[str]:
    return [f"{name}={value:g}" for name, value in limit_members(limits).items() if value is not None]
