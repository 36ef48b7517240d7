"""The warehouse that the pipeline fills: an SQLite database, and a folder with one file of flights for each day."""

import csv
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

from flights import FIRST_DAY, read_flights

_TABLES = """
create table if not exists figures (
    day text, carrier text, flights int not null, cancelled int not null, late int not null,
    median real, low real, high real, primary key (day, carrier)
);
create table if not exists loads (rows int not null);
create table if not exists nights (last_day text primary key, first_day text not null);
"""
_STORE = "insert or replace into figures values (?, ?, ?, ?, ?, ?, ?, ?)"
Row = tuple[str, str, int, int, int, float | None, float | None, float | None]


def folder() -> Path:
    return Path(os.environ["PIPELINE_FOLDER"])


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """Opens the database for one transaction, committed at the end of the block."""
    with closing(sqlite3.connect(folder() / "warehouse.db", timeout=20)) as connection, connection:
        connection.executescript(_TABLES)
        yield connection


def store(rows: list[Row]) -> None:
    """Stores figures by their day and airline, so that they may be stored twice; logs the load."""
    with transaction() as connection:
        connection.executemany(_STORE, rows)
        connection.execute("insert into loads values (?)", [len(rows)])


def figures(first: date, last: date) -> list[Row]:
    """Returns the figures of the days from `first` to `last`, both inclusive."""
    with transaction() as connection:
        found = connection.execute(
            "select * from figures where day between ? and ? order by day, carrier", [first, last]
        )
        return found.fetchall()


def next_day() -> date:
    """Returns the first day that no night has loaded."""
    with transaction() as connection:
        (last,) = connection.execute("select max(last_day) from nights").fetchone()
    return date.fromisoformat(last) + timedelta(days=1) if last else FIRST_DAY


def add_night(first: date, last: date) -> None:
    """Records that all of these days are loaded; the same again changes nothing."""
    with transaction() as connection:
        connection.execute("insert or replace into nights values (?, ?)", [last, first])


def loads() -> tuple[int, int]:
    """Returns the number of rows that were stored, and of transactions."""
    with transaction() as connection:
        rows, count = connection.execute("select coalesce(sum(rows), 0), count(*) from loads").fetchone()
        return rows, count


def extract(days: Iterable[date]) -> None:
    """Writes one file for each day that has none: airline, and delay of the arrival in minutes, empty if cancelled."""
    wanted = sorted(day for day in days if not file_of(day).exists())
    if not wanted:
        return
    rows: dict[date, list[tuple[str, int | None, bool]]] = {day: [] for day in wanted}
    for flight in read_flights(wanted[0], wanted[-1]):
        rows.get(flight.day, []).append((flight.carrier, flight.arrival_delay, flight.delay is None))
    for day, found in rows.items():
        part = file_of(day).with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows((carrier, delay, int(gone)) for carrier, delay, gone in found)
        part.replace(file_of(day))  # a reader sees the whole file or none


def read_day(day: date) -> dict[str, list[tuple[int | None, bool]]]:
    """Returns the delays of a day by airline, and whether the flight was cancelled."""
    found: dict[str, list[tuple[int | None, bool]]] = {}
    with file_of(day).open(encoding="utf-8", newline="") as file:
        for carrier, delay, gone in csv.reader(file):
            found.setdefault(carrier, []).append((int(delay) if delay else None, gone == "1"))
    return dict(sorted(found.items()))


def file_of(day: date) -> Path:
    return folder() / f"flights-{day}.csv"
