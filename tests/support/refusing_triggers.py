"""Triggers that refuse chosen rows, as a DBA might install them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.service import ServiceClient


@asynccontextmanager
async def refusing(
    service: ServiceClient, table: str, condition: str, *, on: str = "insert", error: str = "raise_exception"
) -> AsyncIterator[None]:
    """Refuses rows of a table that meet the condition on `new` (or `old`) during the block."""
    name = f"refuse_{table}_{on}"
    row = "old" if on == "delete" else "new"
    await service.sql(
        f"create function {name}() returns trigger language plpgsql as $$ begin "
        f"if {condition} then raise exception 'refused by the DBA' using errcode = '{error}'; end if; "
        f"return {row}; end $$"
    )
    await service.alter(f"create trigger {name} before {on} on {table} for each row execute function {name}()")
    try:
        yield
    finally:
        await service.alter(f"drop trigger {name} on {table}")
        await service.sql(f"drop function {name}()")
