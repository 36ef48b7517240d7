"""Finding jobs by a filter to do something to all of them: their ids alone, a page at a time."""

from duly.store.postgres.database import Connection
from duly.store.read.list_jobs import WALK_SECONDS, Found, find_jobs
from duly.store.schema.access_paths import PLANS, ListFilter


async def find_ids(connection: Connection, tenant_id: int, wanted: ListFilter, *, limit: int) -> Found:
    """The newest jobs that fit, as they stood at one moment. There may be more, where `limit` were found or `reached`
    is set.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        return await find_jobs(connection, tenant_id, wanted, limit=limit, seconds=WALK_SECONDS)
