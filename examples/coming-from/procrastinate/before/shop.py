"""Orders with Procrastinate: a retry strategy, a lock for each customer, a queueing lock, and a periodic task."""

from contextlib import suppress

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import AlreadyEnqueued

app = App(connector=PsycopgConnector(conninfo="postgresql://localhost/shop"))


class Busy(Exception):
    """The bank asks to come back."""


@app.task(
    name="charge",
    queue="payments",
    pass_context=True,
    retry=RetryStrategy(max_attempts=5, wait=1, retry_exceptions={Busy}),
)
async def charge(context: JobContext, order: str, cents: int) -> str:
    if cents > 100_000 and context.job.attempts == 0:
        raise Busy
    return f"{order}: {cents} cents"


@app.task(name="rebuild-index", queue="maintenance")
async def rebuild_index(shop: str) -> None:
    """Rebuilds the search index of one shop."""


@app.periodic(cron="0 3 * * *")
@app.task(name="close-day", queue="maintenance", queueing_lock="close-day")
async def close_day(timestamp: int) -> None:
    """Closes the books of a day."""


async def charge_order(order: str, customer: str, cents: int) -> int:
    return await charge.configure(lock=customer).defer_async(order=order, cents=cents)


async def index_later(shop: str) -> None:
    with suppress(AlreadyEnqueued):
        await rebuild_index.configure(queueing_lock=shop, schedule_in={"seconds": 30}).defer_async(shop=shop)
