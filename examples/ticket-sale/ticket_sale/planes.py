"""Seats on sale: the planes that left New York on the morning of 23 December 2013."""

from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import NamedTuple

from flights import Flight, read_flights, seats_by_tail

DAY = date(2013, 12, 23)
LETTERS = "ABCDEF"
# Planes with up to 100 seats have rows of four, larger ones rows of six.
_SMALL_PLANE = 100


class Row(NamedTuple):
    """Row of a plane, with its seats from the left."""

    destination: str
    flight: str
    number: int
    seats: int


def rows_on_sale(seats: int) -> list[Row]:
    """Returns the rows of the day's flights by departure, with exactly this many seats.

    Raises:
        ValueError: the flights of the day have fewer seats.
    """
    rows: list[Row] = []
    left = seats
    for row in _rows_of_the_day():
        rows.append(row._replace(seats=min(row.seats, left)))
        left -= rows[-1].seats
        if left == 0:
            return rows
    raise ValueError(f"The planes of {DAY} have {seats - left:,} seats, not {seats:,}.")


@cache
def _rows_of_the_day() -> tuple[Row, ...]:
    known = seats_by_tail()
    flights = sorted(read_flights(DAY, DAY), key=lambda flight: (flight.departure, flight.carrier, flight.number))
    return tuple(row for flight in flights for row in _rows_of(flight, known.get(flight.tail, 0)))


def _rows_of(flight: Flight, seats: int) -> Iterator[Row]:
    width = 4 if seats <= _SMALL_PLANE else len(LETTERS)
    name = f"{flight.origin} {flight.carrier} {flight.number}"
    for number, first in enumerate(range(0, seats, width), 1):
        yield Row(flight.destination, name, number, min(width, seats - first))
