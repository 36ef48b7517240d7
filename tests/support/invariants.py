"""Invariants of every job and batch, as `duly check` verifies them."""

from typing import Any

import asyncpg

from duly.lifecycle.maintenance.check import CheckReport, survey


async def violations(url: str) -> list[str]:
    """Returns the violated invariants in the tables of this database."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "tests"})
    try:
        return await violations_on(connection)
    finally:
        await connection.close()


async def violations_on(connection: Any) -> list[str]:
    """Returns the violated invariants, on an open connection."""
    return [breach.sentence async for breach in survey(connection, CheckReport())]
