"""Job type `buy-seats`. Serve it with `duly serve --handlers ticket_sale.handlers`.

SALE_DATABASE_URL is the database of the shop.
"""

import asyncio
import os
from typing import Any

import asyncpg
from pydantic import BaseModel, Field

from duly import Handlers, JobContext, fixed
from ticket_sale.shop import Wish, sell

handlers = Handlers()


class Purchase(BaseModel):
    """Wish of a group: adjacent seats on a flight to a destination."""

    destination: str = Field(min_length=3, max_length=3)
    seats: int = Field(ge=1, le=6)


class Sold(BaseModel):
    """Seats of the group; empty if no flight had so many adjacent seats left."""

    seats: list[str]


class _Database:
    """Pool of connections, opened in the event loop of the first call."""

    def __init__(self) -> None:
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool[Any] | None = None

    async def pool(self) -> "asyncpg.Pool[Any]":
        async with self._opening:
            if self._pool is None:
                url = os.environ["SALE_DATABASE_URL"]
                self._pool = await asyncpg.create_pool(url, min_size=1, max_size=4)
            return self._pool


_database = _Database()


# One call sells to up to 500 groups in one transaction. Waiting a moment for more of them costs less than a commit.
@handlers.register("buy-seats", batch=500, linger=0.01, timeout=60, max_attempts=10, retry=fixed(1))
async def buy_seats(purchases: list[Purchase], jobs: list[JobContext]) -> list[Sold]:
    """Sells adjacent seats to groups, in the order of their purchases."""
    wishes = [
        Wish(job.job_id, purchase.destination, purchase.seats) for purchase, job in zip(purchases, jobs, strict=True)
    ]
    pool = await _database.pool()
    async with pool.acquire() as connection:
        return [Sold(seats=seats) for seats in await sell(connection, wishes)]
