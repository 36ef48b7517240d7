"""Transfer between two accounts in steps, with a sleep and a signal between them, for nodes that are killed."""

import asyncio
from contextlib import suppress

import asyncpg
from pydantic import BaseModel

from duly import ChildFailed, Compensate, Handlers, JobContext, StepContext, fixed

handlers = Handlers()

TABLE = "create table moves (token text primary key, account text not null, amount int not null)"
MOVE = "insert into moves (token, account, amount) values ($1, $2, $3) on conflict do nothing"


class Transfer(BaseModel):
    url: str
    amount: int = 5


async def _move(url: str, account: str, amount: int, step: StepContext) -> int:
    """Moves money, at most once for each token."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(MOVE, step.idempotency_token, account, amount)
    finally:
        await connection.close()
    return amount


async def _move_back(url: str, account: str, amount: int, step: StepContext) -> None:
    await _move(url, account, -amount, step)


@handlers.register("refused-transfer", retry=fixed(0), max_attempts=3)
async def refused_transfer(wanted: Transfer, job: JobContext) -> None:
    """Moves money twice, fails, and moves it back."""
    await job.step("debit", _move, wanted.url, "from", -wanted.amount, compensate=_move_back)
    await job.step("credit", _move, wanted.url, "to", wanted.amount, compensate=_move_back)
    raise Compensate("The account is closed.", code="ACCOUNT_CLOSED")


@handlers.register("transfer", retry=fixed(0), max_attempts=3)
async def transfer(wanted: Transfer, job: JobContext) -> int:
    taken = await job.step("debit", _move, wanted.url, "from", -wanted.amount)
    await job.sleep(0.01)
    await job.wait_for("go", timeout=3600)
    given, _ = await asyncio.gather(
        job.step("credit", _move, wanted.url, "to", wanted.amount), job.step("note", _move, wanted.url, "note", 0)
    )
    assert isinstance(taken, int)
    return int(taken + given)


@handlers.register("transfer-with-receipt", retry=fixed(0), max_attempts=3)
async def transfer_with_receipt(wanted: Transfer, job: JobContext) -> int:
    """Waits for a child job between its steps, which the test cancels."""
    taken = await job.step("debit", _move, wanted.url, "from", -wanted.amount)
    receipt = await job.submit("echo", delay_seconds=3600)
    with suppress(ChildFailed):
        await receipt.result()
    given = await job.step("credit", _move, wanted.url, "to", wanted.amount)
    return int(taken + given)
