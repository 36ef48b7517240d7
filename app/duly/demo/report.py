"""The demo's job type: a report on Seattle's weather, made from real data and left as an HTML page.

Serve it with `duly serve --handlers duly.demo.report`; the pages go to DULY_DEMO_OUTPUT, or else to ./demo-output.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from duly import Handlers, JobContext
from duly.demo.page import render
from duly.demo.plot import draw
from duly.demo.weather import Day, by_month, read_days

Tell = Callable[[float, str], Awaitable[None]]

_DAYS_A_STEP = 100
# So that a person sees the bar move: the whole file is read in 15 ms.
_STEP_SECONDS = 0.06
_READ_PERCENT = 70.0

handlers = Handlers()


class ReportParameters(BaseModel):
    """The range of days to report on; the data run from 2012-01-01 to 2015-12-31."""

    model_config = ConfigDict(extra="forbid")

    startDate: date = Field(description="the first day")  # noqa: N815 - the name in the JSON
    endDate: date = Field(description="the last day, included")  # noqa: N815 - the name in the JSON

    @field_validator("endDate")
    @classmethod
    def _not_before_start(cls, end: date, others: ValidationInfo) -> date:
        start = others.data.get("startDate")
        if start is not None and end < start:
            raise ValueError(f"must not be before startDate, {start}")
        return end


class Report(BaseModel):
    """Where the finished page lies, and over how many days and months it reports."""

    reportUrl: str  # noqa: N815 - the name in the JSON
    path: str
    days: int
    months: int


@handlers.register("report-generation", timeout=300, max_attempts=3)
async def generate_report(parameters: ReportParameters, job: JobContext) -> Report:
    """Makes an HTML report on Seattle's weather, with a plot and a table by month."""
    folder = Path(os.environ.get("DULY_DEMO_OUTPUT") or "demo-output")
    return await make_report(parameters, folder=folder, tell=job.progress)


async def make_report(parameters: ReportParameters, *, folder: Path, tell: Tell) -> Report:
    """Read, sum up, draw, write; `tell` hears after each step how far it is, in percent."""
    start, end = parameters.startDate, parameters.endDate
    days = await _read(start, end, tell=tell)
    months = by_month(days)
    await tell(75, f"drawing the plot of {len(days):,} days in {len(months)} months")
    plot = await asyncio.to_thread(draw, days, months) if days else ""
    await tell(95, "writing the page")
    page = render(start=start, end=end, days=days, months=months, plot=plot)
    path = await asyncio.to_thread(_write, folder / f"seattle-weather-{start}-to-{end}.html", page)
    return Report(reportUrl=path.as_uri(), path=str(path), days=len(days), months=len(months))


async def _read(start: date, end: date, *, tell: Tell) -> list[Day]:
    found = await asyncio.to_thread(read_days, start, end)
    days: list[Day] = []
    while len(days) < len(found):
        days += found[len(days) : len(days) + _DAYS_A_STEP]
        await tell(round(_READ_PERCENT * len(days) / len(found), 1), f"read {len(days):,} of {len(found):,} days")
        await asyncio.sleep(_STEP_SECONDS)
    return days


def _write(path: Path, text: str) -> Path:
    """Put the page in place whole: whoever looks finds the old one or the new one, never a half."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
