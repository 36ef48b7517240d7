"""Record of a cell in its database, the defaults that depend on it, and the probe of a cell."""

from uuid import UUID

from duly.domain.cell_record import CellRecord
from duly.domain.cells import ONLY, CellNumber
from duly.store.postgres.advisory_locks import MIGRATION, hold
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.submit_function import lend_submitting
from duly.store.schema.timed_id import timed_id_of

READ_RECORD = "select number, count, installation, complete from cell_record"
READ_USED = "select exists (select from jobs)"
WRITE_RECORD = """
with before as (delete from cell_record where number <> $1)
insert into cell_record (number, count, installation) values ($1, $2, $3)
on conflict (number) do update set count = excluded.count, installation = excluded.installation
"""
WRITE_COMPLETE = "update cell_record set complete = true where not complete"
# The outbox writes deliveries without naming their ids.
ALTER_DELIVERIES = "alter table deliveries alter column delivery_id set default {default}"


async def read_cell_record(connection: Connection) -> CellRecord | None:
    """Returns the record of the cell; None: it was never written."""
    row = await connection.fetchrow(READ_RECORD)
    return None if row is None else CellRecord(CellNumber(row[0], row[1]), row[2], row[3])


async def has_jobs(connection: Connection) -> bool:
    """Returns whether there is any job in the cell."""
    return bool(await connection.fetchval(READ_USED))


async def write_cell_record(connection: Connection, cell: CellNumber, installation: UUID) -> CellRecord:
    """Writes the record of a new cell, unless another process has; lets the database make ids of this cell. Returns the
    record. Needs the owner of the tables.
    """
    async with connection.transaction():
        await hold(connection, MIGRATION)
        found = await read_cell_record(connection)
        if found is not None and (found.cell != ONLY or cell == ONLY):
            return found
        await connection.execute(WRITE_RECORD, cell.number, cell.count, installation)
        if cell != ONLY:
            await connection.execute(ALTER_DELIVERIES.format(default=timed_id_of(cell)))
            await lend_submitting(connection)
    return CellRecord(cell, installation)


async def write_complete(connection: Connection) -> None:
    """Records that all cells of the installation were recorded."""
    await connection.execute(WRITE_COMPLETE)


async def ping(connection: Connection) -> None:
    """Runs a statement that reads nothing."""
    await connection.execute("select")
