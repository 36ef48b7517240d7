"""What must hold of every job and batch at any moment: the promises that `duly check` looks after."""

from duly.lifecycle.check import Report, survey
from duly.store.database import Database, DatabaseAway

TRIES = 5


async def violations(url: str) -> list[str]:
    """Every breach of a promise that the tables of this database show; empty where there is none."""
    database = Database(url, connections=1)
    try:
        for _ in range(TRIES - 1):
            try:
                return await _look(database)
            except DatabaseAway:  # a machine that is busy with tests is slow to open a connection
                continue
        return await _look(database)
    finally:
        await database.close()


async def _look(database: Database) -> list[str]:
    return [breach.sentence async for breach in survey(database, Report())]
