"""What must hold of every job and batch at any moment: the promises that `duly check` looks after."""

from duly.lifecycle.check import Report, survey
from duly.store.database import Database


async def violations(url: str) -> list[str]:
    """Every breach of a promise that the tables of this database show; empty where there is none."""
    database = Database(url, connections=1)
    try:
        return [breach.sentence async for breach in survey(database, Report())]
    finally:
        await database.close()
