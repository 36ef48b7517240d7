"""Runs the example: `python -m ledger_transfer`."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Mapping
from typing import Any

import asyncpg
from local_service import running

from duly.client import Client
from ledger_transfer import bank
from ledger_transfer.banks import AIRLINES, AIRPORTS, SERVER
from ledger_transfer.databases import databases
from ledger_transfer.fees import airline_balances, airport_balances, fees
from ledger_transfer.story import Story


def main() -> None:
    """Transfers fees between two banks while the service is killed, and verifies the sums."""
    parser = argparse.ArgumentParser(prog="ledger-transfer", description="Transfers money between two databases.")
    parser.add_argument("--short", action="store_true", help="2,000 transfers, 2 kills")
    parser.add_argument("--transfers", type=int, help="number of transfers (default: 100,000)")
    parser.add_argument("--kills", type=int, help="times the service is killed with SIGKILL (default: 20)")
    parser.add_argument("--lease-seconds", type=float, default=3, help="time until a killed node is lost (default: 3)")
    chosen = parser.parse_args()
    for name, short, full in (("transfers", 2_000, 100_000), ("kills", 2, 20)):
        if getattr(chosen, name) is None:
            setattr(chosen, name, short if chosen.short else full)
    sys.exit(asyncio.run(_run(chosen)))


async def _run(chosen: argparse.Namespace) -> int:
    owed = fees(chosen.transfers)
    mark = secrets.token_hex(4)
    names = {AIRLINES: f"bank_airlines_{mark}", AIRPORTS: f"bank_airports_{mark}"}
    settings: dict[str, Any] = {"DULY_LEASE_SECONDS": str(chosen.lease_seconds), SERVER: "{database_url}", **names}
    with running("ledger_transfer.handlers", **settings) as service, Client(service.url) as client:
        async with databases(service.database_url, names.values()):
            await _open_bank(service.database_url, names[AIRLINES], airline_balances(owed))
            await _open_bank(service.database_url, names[AIRPORTS], airport_balances())
            story = Story(service, client, chosen.transfers, chosen.kills)
            faults = await asyncio.to_thread(story.run, owed)
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


async def _open_bank(server: str, database: str, balances: Mapping[str, int]) -> None:
    connection = await asyncpg.connect(server, database=database)
    try:
        await bank.create(connection, balances)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
