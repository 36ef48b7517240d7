"""Submits the jobs of `job_outbox` to Duly. Run one, or several for availability:

DATABASE_URL=postgresql://localhost/shop DULY_URL=http://127.0.0.1:8000 python relay.py
"""

import asyncio
import logging
import os

import asyncpg
import httpx
from outbox import new_job_id

ROUND = 100
PAUSE_SECONDS = 1
# A relay that is killed keeps its rows for this long, then another one takes them.
CLAIM_SECONDS = 60

# No transaction is open while requests are sent.
CLAIM = """
update job_outbox set claimed_until = clock_timestamp() + make_interval(secs => $2)
where job_id in (
    select job_id from job_outbox
    where refused is null and claimed_until < clock_timestamp()
    order by created_at, job_id limit $1
    for update skip locked)
returning job_id, submission, created_at
"""

log = logging.getLogger("relay")


class NotNow(Exception):
    """Duly cannot take jobs at the moment; `seconds` is the pause that it requests."""

    def __init__(self, reason: str, seconds: float = PAUSE_SECONDS) -> None:
        super().__init__(reason)
        self.seconds = seconds


async def relay_once(database: asyncpg.Pool, duly: httpx.AsyncClient) -> int:
    """Submits the oldest rows that no other relay holds; returns their number."""
    rows = sorted(await database.fetch(CLAIM, ROUND, CLAIM_SECONDS), key=lambda row: (row["created_at"], row["job_id"]))
    try:
        for row in rows:
            await submit(database, duly, row)
    except NotNow:
        ids = [row["job_id"] for row in rows]
        await database.execute("update job_outbox set claimed_until = '-infinity' where job_id = any($1)", ids)
        raise
    return len(rows)


async def submit(database: asyncpg.Pool, duly: httpx.AsyncClient, row: asyncpg.Record) -> None:
    """Submits one job under its id. Done twice, it makes one job: the second request is answered with the first."""
    job_id, headers = row["job_id"], {"Content-Type": "application/json"}
    try:
        response = await duly.put(f"/api/v1/jobs/{job_id}", content=row["submission"], headers=headers)
    except httpx.TransportError as error:
        raise NotNow(repr(error)) from error
    if response.is_success:
        await database.execute("delete from job_outbox where job_id = $1", job_id)
    elif response.status_code == httpx.codes.UNPROCESSABLE_ENTITY and "jobId" in refused_paths(response):
        await renew(database, duly, row)
    elif response.status_code in {httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY, 413}:
        log.error("job %s was refused: %s", job_id, response.text)
        await database.execute("update job_outbox set refused = $2 where job_id = $1", job_id, response.text)
    else:
        retry_after = response.headers.get("Retry-After", "")
        raise NotNow(response.text, float(retry_after) if retry_after.isdecimal() else PAUSE_SECONDS)


async def renew(database: asyncpg.Pool, duly: httpx.AsyncClient, row: asyncpg.Record) -> None:
    """Gives a row a new id: Duly takes ids that were made within the last 24 hours. A job that exists is done."""
    response = await duly.get(f"/api/v1/jobs/{row['job_id']}")
    if response.is_success:
        await database.execute("delete from job_outbox where job_id = $1", row["job_id"])
    elif response.status_code == httpx.codes.NOT_FOUND:
        statement = "update job_outbox set job_id = $2, claimed_until = '-infinity' where job_id = $1"
        await database.execute(statement, row["job_id"], new_job_id())
    else:
        raise NotNow(response.text)


def refused_paths(response: httpx.Response) -> list[str]:
    return [error["path"] for error in response.json()["error"]["details"].get("errors", [])]


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    key = {"Authorization": f"Bearer {os.environ['DULY_API_KEY']}"} if "DULY_API_KEY" in os.environ else {}
    url = os.environ.get("DULY_URL", "http://127.0.0.1:8000")
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=2) as database,
        httpx.AsyncClient(base_url=url, headers=key, timeout=10) as duly,
    ):
        while True:
            pause = PAUSE_SECONDS
            try:
                pause = 0 if await relay_once(database, duly) else PAUSE_SECONDS
            except NotNow as error:
                log.warning("Duly does not take jobs now, retrying in %s s: %s", error.seconds, error)
                pause = error.seconds
            await asyncio.sleep(pause)


if __name__ == "__main__":
    asyncio.run(main())
