"""Rehearsal of a submission: the statements of a real one, in a transaction that is rolled back."""

import random
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import DEFAULT_TENANT, NewJob
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.partition_function import lacking_partitions
from duly.store.postgres.partitions import PARTITIONED
from duly.store.schema.revisions import revisions_missing
from duly.store.submit.jobs import record_jobs

# Bounds in the session, so that a lock or a slow disk is reported as such.
BOUNDS = "set local lock_timeout = '1s'; set local statement_timeout = '1500ms'"
# After a full disk: more than fits where a small row still would.
LARGE_BYTES = 64 << 10


class Rehearsed(NamedTuple):
    """Result of a rehearsal: missing revisions and partitions."""

    revisions: list[str]
    partitions: list[str]


class _RolledBack(Exception):
    """Ends the transaction of a rehearsal."""


async def rehearse_submission(connection: Connection, job_id: UUID, *, large: bool = False) -> Rehearsed:
    """Records a job under this new id up to the commit, and takes it back.

    Raises:
        DatabaseNewer: a newer release migrated the database.
    """
    text = random.randbytes(LARGE_BYTES // 2).hex() if large else ""  # noqa: S311  # so that it is not compressed
    job = NewJob(DEFAULT_TENANT, job_id, "echo", "default", 0, f'"{text}"', 1.0, 1)
    rehearsed = Rehearsed([], [])
    try:
        async with connection.transaction():
            await connection.execute(BOUNDS)
            rehearsed = Rehearsed(
                await revisions_missing(connection), await lacking_partitions(connection, PARTITIONED)
            )
            if not rehearsed.revisions:
                await record_jobs(connection, [job])
            raise _RolledBack  # noqa: TRY301  # how asyncpg rolls back
    except _RolledBack:
        return rehearsed
