"""Reconciliation: both banks read in the order of the transfers, and compared one by one."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel

if TYPE_CHECKING:
    from ledger_transfer.bank import Connection

_TRANSFERS = "select transfer, state, cents from transfers order by transfer"
_BALANCES = "select coalesce(sum(opening), 0)::bigint, coalesce(sum(balance), 0)::bigint from accounts"
# Balances that differ from the opening balance with all posted transfers.
_WRONG_BALANCES = """
select count(*) from accounts where balance <> opening + (
    select coalesce(sum(cents), 0) from transfers where transfers.account = accounts.account and state = 'posted'
)
"""
_STILL_POSTED = "select transfer from transfers where transfer = any ($1::uuid[]) and state = 'posted'"
_SHOWN = 10


class Findings(BaseModel):
    """Transfers by their state at both banks, and sums in cents.

    A transfer is `paid` if it is posted at both banks, `voided` if at neither, and `open` if it is posted at the
    airlines' bank only: its job is on its way, or is being compensated. `wrong` are posted at the airports' bank only,
    or with other amounts; `examples` names some of them. While transfers are on their way, the sums are those of two
    moments.
    """

    paid: int
    voided: int
    open: int
    wrong: int
    examples: list[str]
    wrongBalances: int
    openingSum: int
    sum: int


class _Side(NamedTuple):
    """State of a transfer at one bank, and its cents."""

    state: str | None
    cents: int


async def compare(airlines: "Connection", airports: "Connection") -> Findings:
    """Compares the two banks. Transfers may go on meanwhile."""
    # The snapshot of the credits is the older one, so that the debit of each credit in it is found.
    async with _snapshot(airports), _snapshot(airlines):
        sums = [await bank.fetchrow(_BALANCES) for bank in (airports, airlines)]
        counted, suspects = await _count(airlines, airports)
        balances = sum([await bank.fetchval(_WRONG_BALANCES) for bank in (airports, airlines)])
    # A transfer that was voided between the two snapshots is not wrong: its credit is voided by now.
    wrong = [row["transfer"] for row in await airports.fetch(_STILL_POSTED, suspects)]
    return Findings(
        paid=counted["paid"],
        voided=counted["voided"] + len(suspects) - len(wrong),
        open=counted["open"],
        wrong=len(wrong),
        examples=[str(transfer) for transfer in wrong[:_SHOWN]],
        wrongBalances=balances,
        openingSum=sum(row[0] for row in sums if row),
        sum=sum(row[1] for row in sums if row),
    )


def _snapshot(bank: "Connection") -> Any:
    return bank.transaction(isolation="repeatable_read", readonly=True)


async def _count(airlines: "Connection", airports: "Connection") -> tuple[Counter[str], list[UUID]]:
    """Returns the number of transfers in each state, and those that seem wrong."""
    counted: Counter[str] = Counter()
    suspects: list[UUID] = []
    async for transfer, debit, credit in _pairs(airlines, airports):
        found = _judge(debit, credit)
        counted[found] += 1
        if found == "wrong":
            suspects.append(transfer)
    return counted, suspects


def _judge(debit: _Side, credit: _Side) -> str:
    match debit.state, credit.state:
        case "posted", "posted":
            return "paid" if debit.cents + credit.cents == 0 else "wrong"
        case "posted", _:
            return "open"
        case _, "posted":
            return "wrong"
        case _:
            return "voided"


async def _pairs(airlines: "Connection", airports: "Connection") -> AsyncIterator[tuple[UUID, _Side, _Side]]:
    """Yields each transfer with its sides, by merging both banks."""
    lefts, rights = _transfers(airlines), _transfers(airports)
    left, right = await anext(lefts, None), await anext(rights, None)
    nothing = _Side(None, 0)
    while left or right:
        transfer = min(side[0] for side in (left, right) if side)
        pair = [side[1] if side and side[0] == transfer else nothing for side in (left, right)]
        yield transfer, pair[0], pair[1]
        left = await anext(lefts, None) if left and left[0] == transfer else left
        right = await anext(rights, None) if right and right[0] == transfer else right


async def _transfers(bank: "Connection") -> AsyncIterator[tuple[UUID, _Side]]:
    rows: Any = bank.cursor(_TRANSFERS, prefetch=1_000)
    async for row in rows:
        yield row["transfer"], _Side(row["state"], row["cents"])
