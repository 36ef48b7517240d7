"""What must hold of every job and batch at any moment: the promises that `duly check` looks after."""

from typing import Any

import asyncpg

from duly.lifecycle.maintenance.check import CheckReport, survey


async def violations(url: str) -> list[str]:
    """Every breach of a promise that the tables of this database show; empty where there is none."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "tests"})
    try:
        return await violations_on(connection)
    finally:
        await connection.close()


async def violations_on(connection: Any) -> list[str]:
    """The same, on an open connection."""
    return [breach.sentence async for breach in survey(connection, CheckReport())]
