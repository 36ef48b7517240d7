"""Contents of a database, as a dump would show them."""

from base64 import b64encode
from collections.abc import Iterator

import asyncpg

TABLES = """
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and not c.relispartition
"""


async def dump(database_url: str) -> dict[str, str]:
    """Returns every row of every table as text, by table, with bytes in hexadecimal."""
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
    """Returns the forms of an ASCII text in a dump: plain, hexadecimal, and base64 at any offset of a longer text."""
    yield text.lower()
    yield text.encode().hex()
    for offset in range(3):
        # The first and last characters depend on the adjacent bytes.
        spelled = b64encode(b"\0" * offset + text.encode()).decode()
        yield spelled[4 if offset else 0 : len(spelled) // 4 * 4 - 4].lower()


def shows(dumped: str, text: str) -> bool:
    """Returns whether one of the forms is present, ignoring case."""
    lower = dumped.lower()
    return any(spelling in lower for spelling in spellings(text))
