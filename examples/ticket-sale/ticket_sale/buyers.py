"""The burst: each buyer is a request of its own, some click twice, some poll and some follow their job as a stream."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple

from uuid_utils import uuid7

from ticket_sale.connection import Connection, Connections
from ticket_sale.planes import Row

# Sizes of groups and their frequencies, in percent.
GROUPS = {1: 30, 2: 40, 3: 11, 4: 12, 5: 4, 6: 3}
FOLLOWING_PERCENT = 10
DOUBLE_CLICK_PERCENT = 2
_ENDED = frozenset({"completed", "failed", "cancelled"})
_WAIT_SECONDS = 30
# Most purchases have ended by then, so that one poll is enough.
_FIRST_POLL_SECONDS = 0.25


class Buyer(NamedTuple):
    """Buyer, who arrives `at` seconds after the start of the sale."""

    at: float
    destination: str
    group: int
    follows: bool
    clicks_twice: bool


@dataclass(slots=True)
class Outcome:
    """Outcome for a buyer: seats, empty if there were none left, and seconds from the click to the answers."""

    purchase: str
    buyer: Buyer
    seats: list[str]
    accepted_after: float
    known_after: float
    busy_answers: int


@dataclass(slots=True)
class Sale:
    """Outcomes of all buyers, and faults of their jobs."""

    outcomes: list[Outcome] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def burst(rows: Sequence[Row], buyers: int, *, seconds: float, seed: int) -> Iterator[Buyer]:
    """Yields buyers by arrival, who want to go to destinations in proportion to the seats on sale."""
    chance = random.Random(seed)
    weights = [row.seats for row in rows]
    sizes, frequencies = list(GROUPS), list(GROUPS.values())
    for at in sorted(chance.uniform(0, seconds) for _ in range(buyers)):
        [row], [group] = chance.choices(rows, weights), chance.choices(sizes, frequencies)
        follows, twice = (100 * chance.random() < percent for percent in (FOLLOWING_PERCENT, DOUBLE_CLICK_PERCENT))
        yield Buyer(at, row.destination, group, follows, twice)


async def buy_all(url: str, buyers: Sequence[Buyer], *, connections: int) -> Sale:
    """Lets all buyers arrive at their times, however slow the service is. Returns what they saw."""
    pool, sale, start = Connections(url, size=connections), Sale(), time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for buyer in buyers:
            if (early := start + buyer.at - time.monotonic()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(_buy(pool, buyer, sale, clicked=start + buyer.at))
    pool.close()
    return sale


async def _buy(pool: Connections, buyer: Buyer, sale: Sale, *, clicked: float) -> None:
    # The page makes the ID of its purchase once, so that a second click is the same request.
    purchase = str(uuid7())
    async with pool.one() as connection:
        busy = await _click(connection, purchase, buyer)
        accepted = time.monotonic()
        if buyer.clicks_twice:
            await _click(connection, purchase, buyer)
    job = await (_followed if buyer.follows else _polled)(pool, purchase)
    known = time.monotonic()
    if job["status"] != "completed":
        sale.faults.append(f"purchase {purchase} is {job['status']}: {job['error']}")
    seats = job["result"]["seats"] if job["status"] == "completed" else []
    sale.outcomes.append(Outcome(purchase, buyer, seats, accepted - clicked, known - clicked, busy))


async def _click(connection: Connection, purchase: str, buyer: Buyer) -> int:
    """Submits the purchase until it is accepted. Returns how often the service was too busy."""
    body = {"type": "buy-seats", "parameters": {"destination": buyer.destination, "seats": buyer.group}}
    busy = 0
    while True:
        status, answer = await connection.request("PUT", f"/api/v1/jobs/{purchase}", body)
        if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            return busy
        if status not in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            raise RuntimeError(f"The purchase {purchase} was refused with {status}: {answer}")
        busy += 1
        await asyncio.sleep(1)


async def _polled(pool: Connections, purchase: str) -> Any:
    """Returns the ended job, by long polls: each is answered when the job's status changes."""
    await asyncio.sleep(_FIRST_POLL_SECONDS)
    while True:
        async with pool.one() as connection:
            status, job = await connection.request("GET", f"/api/v1/jobs/{purchase}?wait={_WAIT_SECONDS}")
        if status != HTTPStatus.OK:
            await asyncio.sleep(1)  # too busy
        elif job["status"] in _ENDED:
            return job


async def _followed(pool: Connections, purchase: str) -> Any:
    """Returns the end of the job, from its event stream."""
    last: dict[str, Any] = {}
    async with pool.one() as connection:
        async for frame in connection.follow(f"/api/v1/jobs/{purchase}/events/stream"):
            last = frame
    ended = str(last.get("type", "")).removeprefix("job_")
    if ended not in _ENDED:
        return await _polled(pool, purchase)  # the service refused the stream, or ended it early
    return {"status": ended, "result": last.get("result"), "error": last.get("error")}
