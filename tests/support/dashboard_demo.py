"""Demo data of the dashboard's screenshots: jobs of a small shop, and figures of the last hour."""

import asyncio
from datetime import timedelta
from typing import Final

import asyncpg
from pydantic import BaseModel

from duly import Handlers, JobContext
from tests.support.service import Service

handlers = Handlers()


class Report(BaseModel):
    month: str
    customer: str = "c-42"


class Mail(BaseModel):
    to: str


class Order(BaseModel):
    order: str


@handlers.register("report-generation", max_attempts=3)
async def report(parameters: Report, job: JobContext) -> dict[str, object]:
    """Generates the report of a month."""
    for share in (25, 50, 75):
        await job.progress(share, f"rows {share}0 to {share + 25}0")
        job.log(f"read {share}0 rows")
    return {"reportUrl": f"https://reports.example.com/{parameters.month}.pdf", "rows": 1000}


@handlers.register("mail.send", max_attempts=2)
async def mail(parameters: Mail, job: JobContext) -> None:
    """Sends a mail."""
    if parameters.to.startswith("nobody"):
        raise ValueError("mailbox unavailable")


@handlers.register("order.fulfil")
async def fulfil(parameters: Order, job: JobContext) -> dict[str, str]:
    """Reserves, charges and ships an order."""
    await job.step("reserve", asyncio.sleep, 0.01)
    await job.step("charge", asyncio.sleep, 0.02)
    await job.sleep(timedelta(hours=1))
    return {"order": parameters.order}


# A figure in 30 of wait and run times is that of a second or so.
_FILL: Final = """
insert into minute_figures (tenant_id, queue, minute, submitted, started, completed, failed, retried, delivered,
                            undelivered, waits, runs, ready, running, oldest_seconds)
select 1, '', date_trunc('minute', now()) - n * interval '1 minute', rate + n % 7, rate + n % 5,
       rate - 2 + n % 4, case when n % 17 = 0 then 3 else 0 end, n % 3, rate / 2, case when n between 20 and 26 then 4
       else 0 end, array_fill(0, array[14]) || array[rate, rate / 3, 3, n % 4], array_fill(0, array[30]) || array[rate,
       rate / 2, 9, n % 5], case when n between 12 and 22 then 40 * (22 - n) + 5 else n % 5 end, 12 + n % 6,
       case when n between 12 and 22 then 6 * (22 - n) else 0 end
from (select n, 60 + (25 * sin(n / 9.0))::int + case when n between 15 and 20 then 60 else 0 end as rate
      from generate_series(1, 59) as n) as minutes
on conflict do nothing
"""


async def fill(service: Service) -> str:
    """Submits the jobs and inserts the figures. Returns the id of the job whose view is shown."""
    connection = await asyncpg.connect(service.database_url)
    await connection.execute(_FILL)
    await connection.close()
    for number in range(6):
        await service.run("mail.send", {"to": f"customer-{number}@example.com"}, queue="mail")
    for _ in range(2):
        await service.submit("mail.send", {"to": "nobody@example.com"}, queue="mail", maxAttempts=1)
    shown = await service.run("report-generation", {"month": "2026-01"}, labels={"customer": "c-42"}, queue="reports")
    for order in ("A-1", "A-2", "A-3"):
        await service.submit("order.fulfil", {"order": order}, labels={"customer": "c-7"})
    await service.client.post("/api/v1/queues/reports/pause")
    for month in ("2026-02", "2026-03"):
        await service.submit("report-generation", {"month": month}, queue="reports")
    await service.client.post(
        "/api/v1/schedules",
        json={
            "name": "monthly-report",
            "cron": "0 3 1 * *",
            "timezone": "Europe/Berlin",
            "submission": {"type": "report-generation", "parameters": {"month": "last"}},
        },
    )
    job_id: str = shown["jobId"]
    return job_id
