"""Reading all of a database, as a dump would show it."""

from base64 import b64encode
from collections.abc import Iterator

import asyncpg

TABLES = """
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and not c.relispartition
"""


async def dump(database_url: str) -> dict[str, str]:
    """Every row of every table as text, by table; bytes are hexadecimal in it."""
    connection = await asyncpg.connect(database_url)
    try:
        tables = [row[0] for row in await connection.fetch(TABLES)]
        return {table: await _rows(connection, table) for table in tables}
    finally:
        await connection.close()


async def _rows(connection: "asyncpg.Connection", table: str) -> str:
    statement = f"select t::text from {table} t"  # noqa: S608  # the name is the database's own, quoted by it
    return "\n".join(row[0] for row in await connection.fetch(statement))


def spellings(text: str) -> Iterator[str]:
    """How a plain ASCII text may look in a dump: as it is, in hexadecimal, in base64 at any place of a longer one."""
    yield text.lower()
    yield text.encode().hex()
    for offset in range(3):
        # The first and the last characters depend on what stands beside it.
        spelled = b64encode(b"\0" * offset + text.encode()).decode()
        yield spelled[4 if offset else 0 : len(spelled) // 4 * 4 - 4].lower()


def shows(dumped: str, text: str) -> bool:
    """Whether one of its spellings is there; the case of letters does not count."""
    lower = dumped.lower()
    return any(spelling in lower for spelling in spellings(text))
