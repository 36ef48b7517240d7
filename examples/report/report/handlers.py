"""Job type `punctuality-report`. Serve it with `duly serve --handlers report.handlers`.

Reports are written to REPORT_FOLDER, by default ./reports.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Self

from flights import ALL_FLIGHTS, FIRST_DAY, LAST_DAY, Flight, airlines, read_flights
from pydantic import BaseModel, Field, model_validator

from duly import Fail, Handlers, JobContext
from report.page import as_csv, as_page
from report.punctuality import Punctuality, by_airline_and_month

_FLIGHTS_A_STEP = 10_000
_READ_PERCENT = 90.0

handlers = Handlers()


class Period(BaseModel):
    """Days to report on, both inclusive."""

    startDate: date = Field(FIRST_DAY, ge=FIRST_DAY, le=LAST_DAY)
    endDate: date = Field(LAST_DAY, ge=FIRST_DAY, le=LAST_DAY)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.endDate < self.startDate:
            raise ValueError(f"endDate {self.endDate} is before startDate {self.startDate}")
        return self


class Report(BaseModel):
    """Files of the report, and what it counted."""

    page: str
    csv: str
    flights: int
    cancelled: int
    late: int


# In a process: counting keeps a core busy, and a process can be killed when the job is cancelled or times out.
@handlers.register("punctuality-report", timeout=120, max_attempts=3, isolation="process")
def punctuality_report(period: Period, job: JobContext) -> Report:
    """Reports how punctual the airlines were, by month."""
    tallies = by_airline_and_month(_shown(read_flights(period.startDate, period.endDate), period, job))
    if not tallies:
        raise Fail(f"No flights from {period.startDate} to {period.endDate}.", code="NO_FLIGHTS")
    job.progress(_READ_PERCENT, "writing the page")
    title = f"Flights from New York, {period.startDate} to {period.endDate}"
    name = f"punctuality-{period.startDate}-{period.endDate}"
    page = _write(f"{name}.html", as_page(title, tallies, airlines()), job)
    csv = _write(f"{name}.csv", as_csv(tallies), job)
    total = sum(tallies.values(), Punctuality())
    return Report(page=page, csv=csv, flights=total.flights, cancelled=total.cancelled, late=total.late)


def _shown(flights: Iterable[Flight], period: Period, job: JobContext) -> Iterator[Flight]:
    """Yields the flights, and records every few thousand as progress."""
    days = (period.endDate - period.startDate).days + 1
    expected = ALL_FLIGHTS * days / 365
    for number, flight in enumerate(flights, 1):
        yield flight
        if number % _FLIGHTS_A_STEP == 0:
            job.progress(_READ_PERCENT * min(number / expected, 1), f"counted {number:,} flights")


def _write(name: str, text: str, job: JobContext) -> str:
    """Writes a file atomically. A repeated attempt writes the same file again, so running twice does no harm."""
    folder = Path(os.environ.get("REPORT_FOLDER", "reports")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.{job.job_id}"
    part.write_text(text, encoding="utf-8")
    return str(part.replace(folder / name))
