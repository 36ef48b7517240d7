"""The jobs of the pipeline: a night, the days of a night, and the rows that they store."""

import asyncio
from datetime import date, timedelta

from flights import LAST_DAY, airlines
from pydantic import BaseModel, Field

from duly import Fail, Handlers, JobContext
from nightly_pipeline import warehouse
from nightly_pipeline.statistics_of_delays import Figures, figures_of

handlers = Handlers()


class Night(BaseModel):
    days: int = Field(default=7, ge=1, le=31)


class Day(BaseModel):
    day: date


class DayTotal(BaseModel):
    day: date
    flights: int
    cancelled: int
    late: int
    restored: int  # airlines whose figures an earlier attempt had computed


class Stored(BaseModel):
    together: int


class Report(BaseModel):
    firstDay: date
    lastDay: date
    flights: int
    cancelled: int
    late: int
    worstDay: date
    onTimePercent: dict[str, float]
    restored: int


@handlers.register("flights.night", timeout=3600, max_attempts=5)
async def night(parameters: Night, job: JobContext) -> Report:
    """Loads the next days that are not loaded, and reports on them."""
    days = await choose_days(parameters.days, job)
    await asyncio.to_thread(warehouse.extract, days)
    await job.progress(20, f"extracted {len(days)} days")
    children = await job.submit_many(
        [{"type": "flights.day", "parameters": Day(day=day)} for day in days], name=f"flights from {days[0]}"
    )
    totals = [DayTotal.model_validate(result) for result in await children.results()]  # waits without a slot
    await asyncio.to_thread(warehouse.add_night, days[0], days[-1])
    return await asyncio.to_thread(report_on, totals)


async def choose_days(count: int, job: JobContext) -> list[date]:
    """Returns the same days in each attempt: the first one stores its choice, as its children must stay the same."""
    if job.restored is None:
        await job.checkpoint(first := await asyncio.to_thread(warehouse.next_day))
    else:
        first = date.fromisoformat(job.restored)
    days = [first + timedelta(days=number) for number in range(count)]
    if days[0] > LAST_DAY:
        raise Fail(f"All days are loaded, up to {LAST_DAY}.", code="NOTHING_TO_LOAD")
    return [day for day in days if day <= LAST_DAY]


@handlers.register("flights.day", timeout=600, max_attempts=5, queue="days")
async def day(parameters: Day, job: JobContext) -> DayTotal:
    """Computes the figures of a day, airline by airline, and stores them."""
    done = [Figures.model_validate(one) for one in job.restored or []]
    restored = len(done)
    flights = await asyncio.to_thread(warehouse.read_day, parameters.day)
    for number, carrier in enumerate(flights, 1):
        if number <= restored:
            continue
        done.append(await asyncio.to_thread(figures_of, str(parameters.day), carrier, flights[carrier]))
        await job.checkpoint(done)
        await job.progress(90 * number / len(flights), f"{number} of {len(flights)} airlines")
    stored = await job.submit_many([{"type": "flights.store", "parameters": one} for one in done])
    await stored.results()
    return DayTotal(
        day=parameters.day,
        flights=sum(one.flights for one in done),
        cancelled=sum(one.cancelled for one in done),
        late=sum(one.late for one in done),
        restored=restored,
    )


@handlers.register("flights.store", batch=100, linger=0.1, max_attempts=5, queue="stores")
async def store(figures: list[Figures]) -> list[Stored]:
    """Stores the figures of up to 100 jobs in one transaction."""
    rows: list[warehouse.Row] = [
        (one.day, one.carrier, one.flights, one.cancelled, one.late, one.median, one.low, one.high) for one in figures
    ]
    await asyncio.to_thread(warehouse.store, rows)
    return [Stored(together=len(figures))] * len(figures)


def report_on(totals: list[DayTotal]) -> Report:
    """Returns the report of a night, from the rows that are in the warehouse now."""
    first, last = totals[0].day, totals[-1].day
    flights, late, names = dict[str, int](), dict[str, int](), airlines()
    for _, carrier, count, cancelled, delayed, *_ in warehouse.figures(first, last):
        flights[carrier] = flights.get(carrier, 0) + count
        late[carrier] = late.get(carrier, 0) + delayed + cancelled
    return Report(
        firstDay=first,
        lastDay=last,
        flights=sum(flights.values()),
        cancelled=sum(total.cancelled for total in totals),
        late=sum(total.late for total in totals),
        worstDay=max(totals, key=lambda total: (total.late + total.cancelled) / total.flights).day,
        onTimePercent={names[key]: round(100 - 100 * late[key] / flights[key], 1) for key in sorted(flights)},
        restored=sum(total.restored for total in totals),
    )
