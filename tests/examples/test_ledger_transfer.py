"""The transfers of examples/ledger-transfer: exact sums, also when the service is killed in the middle of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from ledger_transfer.bank import create, post, void
from ledger_transfer.databases import databases
from ledger_transfer.fees import airline_balances, airport_balances, fees
from ledger_transfer.handlers import begin
from ledger_transfer.reconciliation import Findings, compare
from ledger_transfer.story import wrong

from duly import Fail
from tests.support.examples import run_example

if TYPE_CHECKING:
    Bank = asyncpg.Connection[Any]


async def test_the_example_runs_by_its_one_command_and_survives_a_kill(database_url: str, tmp_path: Path) -> None:
    options = ("--transfers", "300", "--kills", "1", "--lease-seconds", "5")
    printed = await run_example("ledger-transfer", *options, database_url=database_url, output=tmp_path / "output")
    assert "Killed the service 1 times." in printed and "FAULT" not in printed
    last = printed.rindex("Banks: ")
    assert ", 0 open, 0 wrong." in printed[last:]
    assert "INSUFFICIENT_FUNDS" in printed[last:] and "NO_ACCOUNT" in printed[last:]


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator["Bank"]:
    """Returns a connection to a bank with one account of 100 cents."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("create schema bank; set search_path to bank")
    await create(connection, {"UA": 100})
    yield connection
    await connection.close()


async def balance(bank: "Bank") -> int:
    found: int = await bank.fetchval("select balance from accounts where account = 'UA'")
    return found


async def test_a_posting_that_is_repeated_moves_money_once(bank: "Bank") -> None:
    transfer = uuid4()
    for _ in range(3):
        await post(bank, transfer, "UA", -60)
    assert await balance(bank) == 40


@pytest.mark.parametrize(
    ("account", "cents", "code"), [("UA", -101, "INSUFFICIENT_FUNDS"), ("ZZ", 1, "NO_ACCOUNT"), ("UA", -100, None)]
)
async def test_a_posting_that_is_refused_leaves_nothing(
    bank: "Bank", account: str, cents: int, code: str | None
) -> None:
    refused = None
    try:
        await post(bank, uuid4(), account, cents)
    except Fail as error:
        refused = error.code
    assert refused == code
    assert await bank.fetchval("select count(*) from transfers") == (0 if code else 1)
    assert await balance(bank) == (100 if code else 0)


async def test_a_voided_transfer_is_refunded_once_and_cannot_be_posted_again(bank: "Bank") -> None:
    transfer = uuid4()
    await post(bank, transfer, "UA", -60)
    for _ in range(2):
        await void(bank, transfer)
    assert await balance(bank) == 100
    with pytest.raises(Fail, match="was voided"):
        await post(bank, transfer, "UA", -60)


async def test_a_posting_that_comes_after_its_void_is_refused(bank: "Bank") -> None:
    transfer = uuid4()
    await void(bank, transfer)
    with pytest.raises(Fail, match="was voided"):
        await post(bank, transfer, "UA", -60)
    assert await balance(bank) == 100


async def test_postings_and_a_void_at_the_same_time_leave_all_or_nothing(bank: "Bank", database_url: str) -> None:
    others = [await asyncpg.connect(database_url, server_settings={"search_path": "bank"}) for _ in range(3)]
    transfers = [uuid4() for _ in range(30)]
    for transfer in transfers:
        calls = [post(others[0], transfer, "UA", -3), post(others[1], transfer, "UA", -3), void(others[2], transfer)]
        errors = [error for error in await asyncio.gather(*calls, return_exceptions=True) if error is not None]
        assert {getattr(error, "code", error) for error in errors} <= {"VOIDED"}
        assert await bank.fetchval("select state from transfers where transfer = $1", transfer) == "voided"
    assert await balance(bank) == 100
    for connection in others:
        await connection.close()


async def test_reconciliation_names_what_differs(bank: "Bank", database_url: str) -> None:
    async with databases(database_url, [f"airports_{uuid4().hex[:8]}"]) as (name,):
        airports = await asyncpg.connect(database_url, database=name)
        await create(airports, {"ORD": 0})
        paid, opened, refunded, wrong_one = (uuid4() for _ in range(4))
        for transfer in (paid, opened, refunded):
            await post(bank, transfer, "UA", -10)
        for transfer in (paid, wrong_one):
            await post(airports, transfer, "ORD", 10)
        for side in (airports, bank):
            await void(side, refunded)
        found = await compare(bank, airports)
        assert (found.paid, found.voided, found.open, found.wrong) == (1, 1, 1, 1)
        assert found.examples == [str(wrong_one)]
        # One debit is open, and one credit has no debit.
        assert (found.openingSum, found.sum, found.wrongBalances) == (100, 100, 0)
        await airports.execute("update accounts set balance = balance + 1")
        again = await compare(bank, airports)
        assert (again.sum, again.wrongBalances) == (101, 1)
        await airports.close()


def test_a_difference_between_jobs_and_banks_is_a_fault() -> None:
    good = Findings(paid=8, voided=2, open=0, wrong=0, examples=[], wrongBalances=0, openingSum=5, sum=5)
    assert list(wrong(good, {"completed": 8, "failed": 2})) == []
    assert len(list(wrong(good, {"completed": 7, "failed": 3}))) == 2
    for change in ({"open": 1}, {"wrong": 1}, {"sum": 6}, {"wrongBalances": 1}):
        assert len(list(wrong(good.model_copy(update=change), {"completed": 8, "failed": 2}))) == 1


def test_fees_are_those_of_real_flights_and_some_airports_have_no_account() -> None:
    owed = fees(1_000)
    assert owed[0] == {"airline": "UA", "airport": "IAH", "cents": 12_600}
    assert sum(airline_balances(owed).values()) < sum(fee["cents"] for fee in owed)
    assert "SJU" in {fee["airport"] for fee in owed} - airport_balances().keys()


def test_a_transfer_is_known_by_the_token_of_its_step() -> None:
    class Step:
        idempotency_token = "a"

    step: Any = Step()
    fee: Any = None
    first = begin(fee, step)
    assert first == begin(fee, step) and isinstance(first, UUID)
    step.idempotency_token = "b"
    assert begin(fee, step) != first
