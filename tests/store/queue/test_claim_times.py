"""Times of attempts: an attempt begins after the event that made its job ready, whenever its transaction began."""

import asyncpg
import pytest

from duly.store.submit.jobs import record_jobs
from tests.store.test_plans import claim, new_jobs, tables

pytestmark = pytest.mark.fresh_database

TIMES = "select max(j.created_at), min(e.occurred_at) from jobs j join events e using (job_id)"


async def test_an_attempt_begins_after_the_submission_that_a_claim_begun_earlier_sees(database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    try:
        async with tables(database_url, "empty") as connection:
            async with connection.transaction():
                await connection.execute("select now()")
                await record_jobs(other, new_jobs(2))
                first, second = await claim(connection, 2)
            times = await connection.fetchrow(TIMES)
    finally:
        await other.close()
    assert times is not None
    submitted, started = times
    assert started > submitted
    assert first.waited_seconds is not None
    assert second.waited_seconds is not None
    assert min(first.waited_seconds, second.waited_seconds) > 0
