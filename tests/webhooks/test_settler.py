"""Recording of delivery attempts: together, without waiting, and a bad one alone."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
import structlog
from structlog.testing import capture_logs

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.store.postgres.database import Database, DatabaseOutage, RecordRefused
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome, SettledCounts
from duly.telemetry.metrics import Metrics
from duly.webhooks import settler
from duly.webhooks.settler import Settler


def tried(answer: str = "") -> AttemptResult:
    return AttemptResult(
        tenant_id=1,
        job_id=uuid4(),
        delivery_id=uuid4(),
        token=1,
        sequence=2,
        kind=EventKind.COMPLETED,
        attempt=1,
        outcome=DeliveryOutcome.DELIVERED,
        duration_ms=3,
        status_code=204,
        error=None,
        answer=answer,
        delay_seconds=0.0,
        receiver_id=uuid4(),
        registered=False,
    )


class Ledger:
    """Replacement of the statement that records its arguments and fails on request."""

    def __init__(self) -> None:
        self.batches: list[list[str | None]] = []
        self.breaks: list[Exception] = []

    async def settle(self, _connection: object, batch: Sequence[AttemptResult]) -> SettledCounts:
        if any(one.answer == "bad" for one in batch):
            raise RecordRefused("bad")
        if self.breaks:
            raise self.breaks.pop()
        self.batches.append([one.answer for one in batch])
        return SettledCounts(len(batch), frees=False, heals=False)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    made = Ledger()
    monkeypatch.setattr(settler, "settle_if_held", made.settle)
    return made


def new_settler(database_url: str, told: list[int]) -> tuple[Settler, Database]:
    database = Database(database_url)
    made = Settler(database, Metrics(), disable_seconds=1, clock=DatabaseClock())
    made.recorded = lambda batch, _settled: told.append(len(batch))
    return made, database


async def test_what_gathers_is_recorded_together_and_a_bad_answer_alone_is_left_out(
    database_url: str, ledger: Ledger
) -> None:
    told: list[int] = []
    made, database = new_settler(database_url, told)
    for answer in ("a", "bad", "b"):
        made.put(tried(answer))
    assert (made.waiting, ledger.batches) == (3, [])
    await made.step()
    assert (made.waiting, ledger.batches, told) == (0, [["a"], ["b"], [None]], [3])
    for answer in ("c", "d"):
        made.put(tried(answer))
    await made.step()
    assert ledger.batches[3:] == [["c", "d"]]
    await database.close()


async def test_while_the_database_is_away_tries_are_dropped_and_said_to_be(
    database_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, database = new_settler(database_url, [])
    ledger.breaks = [DatabaseOutage("gone")]
    made.put(tried("a"))
    # A logger that another test has used already keeps what it was configured with.
    monkeypatch.setattr(settler, "log", structlog.stdlib.get_logger("duly.dispatcher"))
    with capture_logs() as logs:
        await made.step()
    assert (made.waiting, ledger.batches) == (0, [])
    assert [line["action"] for line in logs] == ["delivery_unsettled"]
    made.put(tried("b"))
    await made.step()
    assert ledger.batches == [["b"]]
    await database.close()


async def test_draining_waits_for_what_is_being_recorded(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = asyncio.Event()

    async def settle(*_: Any) -> SettledCounts:
        await goes_on.wait()
        return SettledCounts(1, frees=False, heals=False)

    monkeypatch.setattr(settler, "settle_if_held", settle)
    made, database = new_settler(database_url, [])
    made.put(tried())
    step = asyncio.create_task(made.step())
    drained = asyncio.create_task(made.drained())
    done, _ = await asyncio.wait([drained], timeout=0.05)
    assert not done
    goes_on.set()
    await asyncio.wait_for(asyncio.gather(step, drained), 60)
    assert made.waiting == 0
    await database.close()
