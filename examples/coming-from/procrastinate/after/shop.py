"""Orders with Duly: the handlers. Run them with `duly serve --handlers shop`."""

from pydantic import BaseModel, Field

from duly import Fail, Handlers, JobContext, Retry

handlers = Handlers()


class Charge(BaseModel):
    order: str
    cents: int = Field(gt=0)


class Shop(BaseModel):
    shop: str


class Busy(Exception):
    """The bank asks to come back."""


async def call_bank(parameters: Charge, job: JobContext) -> str:
    """Represents the request to the bank, which gets `job.idempotency_token`: the same text in every attempt."""
    if parameters.cents > 100_000 and job.attempt == 1:
        raise Busy
    return f"{parameters.order}: {parameters.cents} cents"


@handlers.register("charge", max_attempts=6)
async def charge(parameters: Charge, job: JobContext) -> str:
    try:
        return await call_bank(parameters, job)
    except Busy as busy:
        raise Retry("the bank is busy", after=1) from busy
    except Exception as error:
        # Procrastinate retried only on `Busy`. Without this clause Duly retries on every exception.
        raise Fail(str(error)) from error


@handlers.register("rebuild-index")
async def rebuild_index(parameters: Shop) -> str:
    return f"index of {parameters.shop}"


@handlers.register("close-day")
async def close_day() -> None:
    """Closes the books of a day."""
