"""The pool: what one user leaves behind is not found by the next."""

import asyncio

from duly.store.database import Database


async def test_a_transaction_that_was_cut_short_is_not_handed_to_the_next_user(database_url: str) -> None:
    database = Database(database_url, connections=1)

    async def cut_short() -> None:
        async with database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("create table left_behind ()")
            raise asyncio.CancelledError  # and no rollback: that was cancelled as well

    task = asyncio.ensure_future(cut_short())
    await asyncio.wait([task])
    assert task.cancelled()
    async with database.connection() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("select to_regclass('left_behind')") is None
    await database.close()
