"""Two databases on the server of the service, for the two banks."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def databases(server_url: str, names: Iterable[str]) -> AsyncIterator[list[str]]:
    """Creates the databases, yields their names, and drops them after the block."""
    connection = await asyncpg.connect(server_url)
    made: list[str] = []
    try:
        for name in names:
            await connection.execute(f'create database "{name}"')
            made.append(name)
        yield made
    finally:
        for name in made:
            await connection.execute(f'drop database "{name}" with (force)')
        await connection.close()
