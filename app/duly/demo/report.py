"""Job type of the demo: a report on the weather of Seattle as an HTML page.

Serve it with `duly serve --handlers duly.demo.report`. Pages are written to DULY_DEMO_OUTPUT, by default ./demo-output.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from duly import Handlers, JobContext
from duly.demo.plot import draw
from duly.demo.report_page import render
from duly.demo.weather import Day, by_month, read_days

ReportProgress = Callable[[float, str], Awaitable[None]]

_DAYS_A_STEP = 100
# Makes the progress bar visible: the whole file is read in 15 ms.
_STEP_SECONDS = 0.06
_READ_PERCENT = 70.0

handlers = Handlers()


class ReportParameters(BaseModel):
    """Range of days to report on. Data is available from 2012-01-01 to 2015-12-31."""

    model_config = ConfigDict(extra="forbid")

    startDate: date = Field(description="first day")  # noqa: N815 - the name in the JSON
    endDate: date = Field(description="last day, inclusive")  # noqa: N815 - the name in the JSON

    @field_validator("endDate")
    @classmethod
    def _not_before_start(cls, end: date, others: ValidationInfo) -> date:
        start = others.data.get("startDate")
        if start is not None and end < start:
            raise ValueError(f"must not be before startDate, {start}")
        return end


class Report(BaseModel):
    """Location of the page, and the number of days and months in it."""

    reportUrl: str  # noqa: N815 - the name in the JSON
    path: str
    days: int
    months: int


@handlers.register("report-generation", timeout=300, max_attempts=3)
async def generate_report(parameters: ReportParameters, job: JobContext) -> Report:
    """Creates an HTML report on the weather of Seattle with a plot and a monthly table."""
    folder = Path(os.environ.get("DULY_DEMO_OUTPUT") or "demo-output")
    return await make_report(parameters, folder=folder, report=job.progress)


async def make_report(parameters: ReportParameters, *, folder: Path, report: ReportProgress) -> Report:
    """Reads the data, draws the plot, writes the page. `report` is called with the progress in percent."""
    start, end = parameters.startDate, parameters.endDate
    days = await _read(start, end, report=report)
    months = by_month(days)
    await report(75, f"drawing the plot of {len(days):,} days in {len(months)} months")
    plot = await asyncio.to_thread(draw, days, months) if days else ""
    await report(95, "writing the page")
    page = render(start=start, end=end, days=days, months=months, plot=plot)
    path = await asyncio.to_thread(_write, folder / f"seattle-weather-{start}-to-{end}.html", page)
    return Report(reportUrl=path.as_uri(), path=str(path), days=len(days), months=len(months))


async def _read(start: date, end: date, *, report: ReportProgress) -> list[Day]:
    found = await asyncio.to_thread(read_days, start, end)
    days: list[Day] = []
    while len(days) < len(found):
        days += found[len(days) : len(days) + _DAYS_A_STEP]
        await report(round(_READ_PERCENT * len(days) / len(found), 1), f"read {len(days):,} of {len(found):,} days")
        await asyncio.sleep(_STEP_SECONDS)
    return days


def _write(path: Path, text: str) -> Path:
    """Writes the page atomically: readers see the old page or the new one."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
