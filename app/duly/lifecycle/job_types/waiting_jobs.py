"""Comparison of waiting jobs with the changed parameters of their type."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from duly.errors import Unavailable
from duly.store.postgres.database import Database
from duly.store.read.waiting_jobs import PAGE, read_waiting_parameters

# Waiting jobs that are compared; further ones are not. And the time that this may take.
MOST_JOBS = 10_000
MOST_SECONDS = 10.0


class Compared(NamedTuple):
    """Number of waiting jobs whose parameters do not fit, of those that were examined."""

    unfit: int
    examined: int


async def compare_waiting_jobs(
    database: Database, tenant_id: int, job_type: str, fits: Callable[[str], bool]
) -> Compared:
    """Compares up to `MOST_JOBS` waiting jobs of a type. Locks nothing: a job that is submitted meanwhile, by the
    declaration before, is not examined.

    Args:
        database: the database.
        tenant_id: their tenant; `EVERY_TENANT`: all.
        job_type: their type.
        fits: returns whether parameters, as JSON text, are valid.

    Raises:
        Unavailable: it takes more than `MOST_SECONDS`.
    """
    unfit = examined = 0
    try:
        async with (
            asyncio.timeout(MOST_SECONDS),
            database.connection() as connection,
            connection.transaction(readonly=True),
        ):
            async for text in read_waiting_parameters(connection, tenant_id, job_type, limit=MOST_JOBS):
                unfit += not fits(text)
                examined += 1
                if examined % PAGE == 0:
                    await asyncio.sleep(0)
    except TimeoutError:
        raise Unavailable(
            f'The waiting jobs of job type "{job_type}" could not be compared within {MOST_SECONDS:g} seconds.',
            reason="Nothing was changed. Retry, or repeat the request with `?force=true`.",
        ) from None
    return Compared(unfit, examined)
