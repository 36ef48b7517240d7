"""Bodies of `duly tenants`."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from duly.cli.access_database import with_database
from duly.cli.command_setup import actor, read_settings
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
_LARGEST, _LARGEST_RATE = 100_000_000, 1e6


def run_create(flags: dict[str, Any], name: str, limits: Sequence[str | None]) -> None:
    """Creates a tenant."""
    if not TENANT_NAME.fullmatch(name):
        stop("TENANT must have 1 to 63 of the characters a-z, 0-9 and -", code=USAGE)
    chosen = TenantLimits(**_limits(limits))
    preview = read_settings(flags).tenants_preview

    async def create(database: Database) -> Tenant:
        return await create_tenant(database, name, chosen, preview=preview, by=actor())

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
    """Returns the limits that were given, by name."""
    return {name: _number(name, text) for name, text in zip(_NAMES, texts, strict=True) if text is not None}


def _number(name: str, text: str) -> float | None:
    """Returns a limit, or ends the command if it is invalid."""
    if text == NONE:
        return None
    least = 0 if name.startswith("max_") else 1
    try:
        number: float = float(text) if name == "submit_rate" else int(text)
    except ValueError:
        number = -1
    if not (0 < number <= _LARGEST_RATE if name == "submit_rate" else least <= number <= _LARGEST):
        stop(f"--{name.replace('_', '-')} must be a number from {least}, or {NONE}, not {text!r}", code=USAGE)
    return number


def _members(tenant: Tenant) -> dict[str, Any]:
    return {"tenant": tenant.name, **limit_members(tenant.limits), "createdAt": rfc3339(tenant.created_at)}


def _words(limits: TenantLimits) -> list[str]:
    return [f"{name}={value:g}" for name, value in limit_members(limits).items() if value is not None]
