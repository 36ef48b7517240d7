"""Data of the demo: daily weather of Seattle, 2012 to 2015, with monthly figures.

The file is part of the package `vega_datasets`: NOAA's daily observations, in the public domain.
"""

import csv
import importlib.util
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from math import fsum
from pathlib import Path
from statistics import fmean

FIRST_DAY, LAST_DAY = date(2012, 1, 1), date(2015, 12, 31)
KINDS = ("sun", "fog", "rain", "drizzle", "snow")
EXTRA_MISSING = 'the demo needs its extra packages: pip install "duly[demo]"'


@dataclass(frozen=True, slots=True)
class Day:
    """Weather of one day: temperatures in °C, precipitation in mm, kind of weather as one of `KINDS`."""

    day: date
    precipitation: float
    warmest: float
    coldest: float
    kind: str


@dataclass(frozen=True, slots=True)
class Month:
    """Weather of one month: mean temperatures in °C, precipitation in mm, number of days of each kind."""

    first_day: date
    days: int
    mean_warmest: float
    mean_coldest: float
    precipitation: float
    kinds: Counter[str]


def data_file() -> Path:
    """Returns the path of the data.

    Raises:
        ImportError: the extra `demo` is not installed.
    """
    # Found without importing the package, which would import pandas.
    package = importlib.util.find_spec("vega_datasets")
    if package is None or not package.submodule_search_locations:
        raise ImportError(EXTRA_MISSING)
    return Path(package.submodule_search_locations[0], "_data", "seattle-weather.csv")


def read_days(start: date, end: date) -> list[Day]:
    """Returns the days with data from `start` to `end`, both inclusive."""
    with data_file().open(encoding="utf-8", newline="") as file:
        days = [_day(row) for row in csv.DictReader(file)]
    return [day for day in days if start <= day.day <= end]


def by_month(days: Iterable[Day]) -> list[Month]:
    """Returns the months of the days; both are in order."""
    return [sum_up(list(group)) for _, group in groupby(days, key=lambda day: (day.day.year, day.day.month))]


def sum_up(days: Sequence[Day]) -> Month:
    """Returns the figures of these days, at least one, as of one month."""
    return Month(
        first_day=days[0].day,
        days=len(days),
        mean_warmest=fmean(day.warmest for day in days),
        mean_coldest=fmean(day.coldest for day in days),
        precipitation=fsum(day.precipitation for day in days),
        kinds=Counter(day.kind for day in days),
    )


def _day(row: dict[str, str]) -> Day:
    return Day(
        day=datetime.strptime(row["date"], "%Y/%m/%d").date(),  # noqa: DTZ007 - a calendar day, in no time zone
        precipitation=float(row["precipitation"]),
        warmest=float(row["temp_max"]),
        coldest=float(row["temp_min"]),
        kind=row["weather"],
    )
