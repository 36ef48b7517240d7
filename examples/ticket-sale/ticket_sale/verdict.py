"""Comparison of what the buyers saw with what the counter and the shop's tables say."""

from collections.abc import Iterable, Iterator
from typing import Any

import asyncpg

from ticket_sale.buyers import Outcome, Sale
from ticket_sale.planes import LETTERS

_ROWS = "select destination, seats, taken from ticket_sale.rows"


async def faults(sale: Sale, counted: dict[str, Any], database_url: str) -> list[str]:
    """Returns all that is wrong with the sale; an empty list if nothing is."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(_ROWS)
    finally:
        await connection.close()
    left = _largest_gaps(rows)
    seen = sum(len(outcome.seats) for outcome in sale.outcomes)
    found = [*sale.faults, *counted["faults"]]
    if not seen == counted["seats"] == counted["tickets"]:
        found.append(f"buyers saw {seen} seats, the stream {counted['seats']}, the tables {counted['tickets']}")
    return found + list(_wrong(sale.outcomes, left))


def _wrong(outcomes: Iterable[Outcome], left: dict[str, int]) -> Iterator[str]:
    for outcome in outcomes:
        group, destination = outcome.buyer.group, outcome.buyer.destination
        if outcome.seats and not _adjacent(outcome.seats, group):
            yield f"{outcome.purchase}: a group of {group} got {outcome.seats}"
        # Seats never return, so a gap that is left at the end was there when the group was refused.
        gap = left.get(destination, 0)
        if not outcome.seats and group <= gap:
            yield f"{outcome.purchase}: {group} to {destination} were refused, but {gap} adjacent seats are left"


def _adjacent(seats: list[str], group: int) -> bool:
    rows = {seat[:-1] for seat in seats}
    return len(seats) == group and len(rows) == 1 and "".join(seat[-1] for seat in seats) in LETTERS


def _largest_gaps(rows: Iterable[Any]) -> dict[str, int]:
    """Returns the longest run of free seats by destination."""
    gaps: dict[str, int] = {}
    for row in rows:
        free = f"{row['taken']:b}".zfill(row["seats"]).split("1")
        gaps[row["destination"]] = max(gaps.get(row["destination"], 0), *map(len, free))
    return gaps
