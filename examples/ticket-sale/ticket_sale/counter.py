"""Counter that watches the sale from outside: `python -m ticket_sale.counter URL DATABASE_URL BUYERS`.

It is a process of its own and shares no code with the shop. It counts the seats in the event stream of all purchases,
and the tickets in the shop's tables many times during the sale. It prints `ready`, then its counts as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import aclosing
from typing import Any

import asyncpg

from duly.client import AsyncClient

_PAUSE_SECONDS = 0.05
# Tickets on seats that no row has, seats with two tickets, rows whose marks differ from their tickets.
_OVERSOLD = """
select (select count(*) from ticket_sale.tickets) as tickets,
    (select sum(seats) from ticket_sale.rows) as seats,
    (select count(*) from (select row_id, letter from ticket_sale.tickets group by 1, 2 having count(*) > 1) as t)
    + (select count(*) from (
        select bit_count(taken::bit(8)), count(purchase) from ticket_sale.rows left join ticket_sale.tickets
        using (row_id) group by row_id having bit_count(taken::bit(8)) <> count(purchase)) as r) as faults
"""


class Count:
    """Counts so far."""

    def __init__(self) -> None:
        self.seats: Counter[str] = Counter()
        self.ready = False
        self.outcomes = 0
        self.looks = 0
        self.tickets = 0
        self.faults: list[str] = []

    def as_json(self) -> str:
        twice = [seat for seat, sold in self.seats.items() if sold > 1]
        self.faults += [f"{len(twice)} seats were sold twice, such as {twice[0]}"] if twice else []
        counts = {"outcomes": self.outcomes, "seats": self.seats.total(), "tickets": self.tickets}
        return json.dumps({**counts, "looks": self.looks, "faults": self.faults})


async def main() -> None:
    """Counts until all purchases have ended."""
    url, database_url, buyers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    count, ended = Count(), asyncio.Event()
    async with AsyncClient(url) as client, asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(database_url, count, ended))
        await _follow(client, count, buyers)
        ended.set()
        await looking
    print(count.as_json(), flush=True)


async def _follow(client: AsyncClient, count: Count, buyers: int) -> None:
    """Counts the seats of all purchases, from the stream of all jobs."""
    # The stream begins when it is opened: jobs of another type show that it is open.
    knocking = asyncio.create_task(_knock(client))
    async with aclosing(client.stream_all(types=["buy-seats", "echo"])) as frames:
        async for frame in frames:
            if not count.ready:
                count.ready = knocking.cancel()
                print("ready", flush=True)
            if frame["type"] == "job_completed" and isinstance(frame["result"], dict) and "seats" in frame["result"]:
                count.seats.update(frame["result"]["seats"])
            count.outcomes += _ends_a_purchase(frame)
            if count.outcomes == buyers:
                return


def _ends_a_purchase(frame: dict[str, Any]) -> bool:
    knock = frame["type"] == "job_completed" and "seats" not in (frame["result"] or {})
    return frame["type"] in {"job_completed", "job_failed", "job_cancelled"} and not knock


async def _knock(client: AsyncClient) -> None:
    while True:
        await client.submit("echo")
        await asyncio.sleep(0.1)


async def _look(database_url: str, count: Count, ended: asyncio.Event) -> None:
    """Counts tickets and seats in one snapshot, again and again, and once after the last purchase."""
    connection = await asyncpg.connect(database_url)
    last = False
    while not last:
        last = ended.is_set()
        [row] = await connection.fetch(_OVERSOLD)
        count.looks += 1
        count.tickets = row["tickets"]
        if row["faults"] or row["tickets"] > row["seats"]:
            count.faults.append(f"look {count.looks}: {dict(row)}")
        await asyncio.sleep(_PAUSE_SECONDS)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
