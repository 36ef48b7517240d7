"""The shop's own tables, in a schema of their own: rows with their free seats, and tickets.

Two facts keep a seat from being sold twice, whatever the handlers do: the rows of a purchase are locked while its seats
are chosen, and a ticket's primary key is its seat.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import asyncpg

from ticket_sale.planes import LETTERS, Row
from ticket_sale.seating import OpenRow, choose, take

_CREATE = """
create schema ticket_sale;
create table ticket_sale.rows (
    row_id int primary key,
    destination text not null,
    flight text not null,
    number int not null,
    seats int not null,
    taken int not null default 0 check (taken between 0 and (1 << seats) - 1),
    unique (flight, number)
);
create index on ticket_sale.rows (destination);
create table ticket_sale.tickets (
    row_id int references ticket_sale.rows,
    letter text,
    purchase uuid not null,
    primary key (row_id, letter)
);
create index on ticket_sale.tickets (purchase);
"""
_INSERT_ROWS = """
insert into ticket_sale.rows (row_id, destination, flight, number, seats)
select * from unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::int[])
"""
_SOLD_BEFORE = """
select purchase, array_agg(flight || ' ' || number || letter order by letter) as seats
from ticket_sale.tickets join ticket_sale.rows using (row_id)
where purchase = any ($1::uuid[]) group by purchase
"""
# In one order, so that two calls never wait for each other's rows. Full rows are neither read nor locked.
_LOCK_OPEN_ROWS = """
select row_id, destination, flight, number, seats, taken from ticket_sale.rows
where destination = any ($1::text[]) and taken <> (1 << seats) - 1
order by row_id for update
"""
_RECORD_ROWS = """
update ticket_sale.rows set taken = new.taken
from unnest($1::int[], $2::int[]) as new (row_id, taken) where rows.row_id = new.row_id
"""
_RECORD_TICKETS = """
insert into ticket_sale.tickets (row_id, letter, purchase) select * from unnest($1::int[], $2::text[], $3::uuid[])
"""


if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[Any] | PoolConnectionProxy[Any]


class Wish(NamedTuple):
    """Purchase of a group: its ID, where it wants to fly, and the number of adjacent seats."""

    purchase: UUID
    destination: str
    seats: int


async def open_sale(database_url: str, rows: Iterable[Row]) -> None:
    """Creates the tables, with all rows on sale."""
    connection = await asyncpg.connect(database_url)
    try:
        columns = zip(*((row_id, *row) for row_id, row in enumerate(rows)), strict=True)
        await connection.execute(_CREATE)
        await connection.execute(_INSERT_ROWS, *map(list, columns))
    finally:
        await connection.close()


async def sell(connection: "Connection", wishes: Sequence[Wish]) -> list[list[str]]:
    """Sells seats in one transaction, in the order of the wishes. Returns the seats of each; none if there are none.

    A purchase that was sold before, in an attempt whose outcome was lost, keeps its seats.
    """
    async with connection.transaction():
        ids = [wish.purchase for wish in wishes]
        before = {row["purchase"]: list(row["seats"]) for row in await connection.fetch(_SOLD_BEFORE, ids)}
        destinations = sorted({wish.destination for wish in wishes if wish.purchase not in before})
        found = await connection.fetch(_LOCK_OPEN_ROWS, destinations)
        plan = _Plan(found)
        sold = [before[wish.purchase] if wish.purchase in before else plan.seat(wish) for wish in wishes]
        if plan.tickets:
            await connection.execute(_RECORD_ROWS, *plan.changed_rows())
            await connection.execute(_RECORD_TICKETS, *map(list, zip(*plan.tickets, strict=True)))
    return sold


class _Plan:
    """Seats that are chosen in one transaction."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.tickets: list[tuple[int, str, UUID]] = []
        self._names: dict[int, str] = {}
        self._open: dict[str, list[OpenRow]] = {}
        self._changed: dict[int, OpenRow] = {}
        for row in rows:
            self._names[row["row_id"]] = f"{row['flight']} {row['number']}"
            self._open.setdefault(row["destination"], []).append(OpenRow(row["row_id"], row["seats"], row["taken"]))

    def seat(self, wish: Wish) -> list[str]:
        """Returns the seats for the group, or an empty list."""
        chosen = choose(self._open.get(wish.destination, []), wish.seats)
        if chosen is None:
            return []
        row, first = chosen
        take(row, first, wish.seats)
        self._changed[row.row_id] = row
        letters = LETTERS[first : first + wish.seats]
        self.tickets += [(row.row_id, letter, wish.purchase) for letter in letters]
        return [f"{self._names[row.row_id]}{letter}" for letter in letters]

    def changed_rows(self) -> tuple[list[int], list[int]]:
        return list(self._changed), [row.taken for row in self._changed.values()]
