"""Job types `pay-fee` and `reconcile`. Serve them with `duly serve --handlers ledger_transfer.handlers`."""

from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import BaseModel, Field

from duly import Handlers, JobContext, StepContext, exponential, fixed
from ledger_transfer.bank import post, void
from ledger_transfer.banks import AIRLINES, AIRPORTS, Banks
from ledger_transfer.reconciliation import Findings, compare

handlers = Handlers()
_banks = Banks()
_PATIENT = exponential(0.2, cap=10)


class Fee(BaseModel):
    """Fee that an airline owes an airport for a flight."""

    airline: str
    airport: str
    cents: int = Field(gt=0)


class Paid(BaseModel):
    """Transfer with which the fee was paid."""

    transfer: UUID


@handlers.register("pay-fee", timeout=60, max_attempts=20, retry=fixed(1))
async def pay_fee(fee: Fee, job: JobContext) -> Paid:
    """Transfers the fee from the airlines' bank to the airports' bank."""
    # Recorded before any money moves: from here on, a job that fails for good voids its transfer at both banks,
    # whether or not the result of a step that did move money could still be recorded.
    transfer = await job.step("begin", begin, fee, retry=_PATIENT, max_attempts=20, compensate=undo)
    await job.step("debit", move, AIRLINES, transfer, fee.airline, -fee.cents, retry=_PATIENT)
    await job.step("credit", move, AIRPORTS, transfer, fee.airport, fee.cents, retry=_PATIENT)
    return Paid(transfer=transfer)


def begin(fee: Fee, step: StepContext) -> UUID:
    """Returns the ID of the transfer. A job that is retried by hand after its compensation makes a new transfer."""
    return uuid5(NAMESPACE_OID, step.idempotency_token)


async def move(bank: str, transfer: UUID, account: str, cents: int) -> None:
    """Posts one side of a transfer. Repeating it does nothing."""
    pool = await _banks.pool(bank)
    async with pool.acquire() as connection:
        await post(connection, transfer, account, cents)


async def undo(fee: Fee, result: UUID) -> None:
    """Voids the transfer at both banks, the credit first: what was credited must not be refunded as well."""
    for bank in (AIRPORTS, AIRLINES):
        pool = await _banks.pool(bank)
        async with pool.acquire() as connection:
            await void(connection, result)


@handlers.register("reconcile", timeout=600, max_attempts=5, retry=fixed(1))
async def reconcile() -> Findings:
    """Compares both banks, transfer by transfer."""
    airlines, airports = await _banks.pool(AIRLINES), await _banks.pool(AIRPORTS)
    async with airlines.acquire() as debits, airports.acquire() as credited:
        return await compare(debits, credited)
