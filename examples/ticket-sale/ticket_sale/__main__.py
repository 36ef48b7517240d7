"""Runs the example: `python -m ticket_sale`."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from local_service import LocalService, running

from ticket_sale.buyers import burst, buy_all
from ticket_sale.figures import lines
from ticket_sale.planes import rows_on_sale
from ticket_sale.shop import open_sale
from ticket_sale.verdict import faults

# Batches of purchases need as many slots; the connections of all buyers come from one address.
_SETTINGS = {
    "DULY_CONNECTIONS_PER_ADDRESS": "9000",
    "DULY_SUBMIT_BUFFER": "10000",
    "SALE_DATABASE_URL": "{database_url}",
}
_COUNTER_SECONDS = 120


def main() -> None:
    """Sells the seats to a burst of buyers, and verifies the sale."""
    parser = argparse.ArgumentParser(prog="ticket-sale", description="Sells seats to a burst of buyers.")
    parser.add_argument("--short", action="store_true", help="200 seats, 2,000 buyers in 1 second")
    parser.add_argument("--seats", type=int, help="seats on sale (default: 10,000)")
    parser.add_argument("--buyers", type=int, help="buyers (default: 100,000)")
    parser.add_argument("--seconds", type=float, help="time in which the buyers arrive (default: 60)")
    parser.add_argument("--connections", type=int, default=2_000, help="connections of the buyers (default: 2,000)")
    parser.add_argument("--processes", type=int, default=1, help="server processes (default: 1)")
    parser.add_argument("--seed", type=int, default=2013, help="seed of what the buyers want (default: 2013)")
    chosen = parser.parse_args()
    for name, short, full in (("seats", 200, 10_000), ("buyers", 2_000, 100_000), ("seconds", 1, 60)):
        if getattr(chosen, name) is None:
            setattr(chosen, name, short if chosen.short else full)
    with running("ticket_sale.handlers", processes=chosen.processes, slots=1_000, **_SETTINGS) as service:
        sys.exit(uvloop.run(_run(service, chosen)))


async def _run(service: LocalService, chosen: argparse.Namespace) -> int:
    rows = rows_on_sale(chosen.seats)
    await open_sale(service.database_url, rows)
    buyers = list(burst(rows, chosen.buyers, seconds=chosen.seconds, seed=chosen.seed))
    print(f"{chosen.seats:,} seats to {len({row.destination for row in rows})} destinations are on sale.")
    print(f"{len(buyers):,} buyers arrive in {chosen.seconds:g} s; they want {sum(b.group for b in buyers):,} seats.")
    async with _counting(service, len(buyers)) as counter:
        sale = await buy_all(service.url, buyers, connections=chosen.connections)
        counted = json.loads(await asyncio.wait_for(counter.readline(), _COUNTER_SECONDS))
    for line in lines(sale.outcomes, counted):
        print(line)
    found = await faults(sale, counted, service.database_url)
    for fault in found[:5]:
        print(f"FAULT: {fault}")
    return 1 if found else 0


@asynccontextmanager
async def _counting(service: LocalService, buyers: int) -> AsyncIterator[asyncio.StreamReader]:
    """Yields the output of the counter, once it watches."""
    arguments = ("-m", "ticket_sale.counter", service.url, service.database_url, str(buyers))
    counter = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert counter.stdout is not None
    try:
        assert (await counter.stdout.readline()) == b"ready\n", "the counter has ended"
        yield counter.stdout
    finally:
        if counter.returncode is None:
            counter.terminate()
        await counter.wait()


if __name__ == "__main__":
    main()
