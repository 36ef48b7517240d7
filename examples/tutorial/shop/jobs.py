"""The jobs of the shop."""

import asyncio
from datetime import date, timedelta
from typing import Self

from pydantic import BaseModel, model_validator

from duly import Handlers, JobContext

handlers = Handlers()


class ReportParameters(BaseModel):
    startDate: date
    endDate: date

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.endDate < self.startDate:
            raise ValueError("endDate is before startDate")
        return self


class Report(BaseModel):
    days: int
    orders: int


@handlers.register("sales-report", timeout=600, max_attempts=3)
async def sales_report(parameters: ReportParameters, job: JobContext) -> Report:
    """Counts the orders of each day."""
    days = (parameters.endDate - parameters.startDate).days + 1
    orders = 0
    for number in range(days):
        orders += await count_orders(parameters.startDate + timedelta(days=number))
        await job.progress(100 * (number + 1) / days, f"day {number + 1} of {days}")
    return Report(days=days, orders=orders)


async def count_orders(day: date) -> int:
    """Stands for a query that takes a while."""
    await asyncio.sleep(0.2)
    return 100 + day.day
