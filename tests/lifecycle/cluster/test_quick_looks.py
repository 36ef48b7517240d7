"""Looks of an idle service: most of them find out that nothing was written, and look no further."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from duly.lifecycle.cluster import lookout
from duly.lifecycle.cluster.lookout import LOOK_SECONDS, Lookout
from duly.store.maintenance.due_work import LOOPS, DueWork, Snapshot, read_due_work, read_snapshot
from duly.store.postgres.database import Database
from duly.store.queue.nodes import NodeRecord, NodeReport, beat, leave, register
from tests.lifecycle.cluster.test_lookout import LIVE_NODE, SILENT_NODE, SNAPSHOT, noting, rest

BEGAN = SNAPSHOT.server_began


class IdleDatabase:
    """Results of looks at a database to which only heartbeats write, one in each `BEAT` seconds."""

    BEAT = 3

    def __init__(self, monkeypatch: pytest.MonkeyPatch, own: set[int]) -> None:
        self.own = own
        self.snapshot = SNAPSHOT
        self.seconds: dict[str, float] = {}
        self.complete = self.quick = 0
        monkeypatch.setattr(lookout, "read_due_work", self.read_due_work)
        monkeypatch.setattr(lookout, "read_snapshot", self.read_snapshot)

    async def read_due_work(self, *_: object, **_more: object) -> DueWork:
        self.complete += 1
        self._goes_on()
        return DueWork(dict(self.seconds), {}, self.snapshot, 6.0)

    async def read_snapshot(self, _: object) -> Snapshot:
        self.quick += 1
        self._goes_on()
        return self.snapshot

    def _goes_on(self) -> None:
        """A second passes."""
        at = self.snapshot.at + LOOK_SECONDS
        if at % self.BEAT == 0:
            self.own.add(self.snapshot.next)
            self.write()
        self.snapshot = self.snapshot._replace(at=at)

    def write(self) -> None:
        last = self.snapshot.next + 1
        self.snapshot = self.snapshot._replace(oldest=last, next=last)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def test_in_an_idle_minute_few_looks_are_complete(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    own: set[int] = set()
    idle = IdleDatabase(monkeypatch, own)
    looked = Lookout(database, noting(set()), own_transactions=own)
    await rest(looked, *LOOPS)
    for _ in range(60):
        await looked.step()
    assert idle.complete <= 10  # one in six seconds: a node may be late by then
    assert idle.complete + idle.quick <= 70


async def test_a_look_is_complete_once_a_transaction_of_others_has_ended_or_another_loop_rests(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: set[int] = set()
    idle = IdleDatabase(monkeypatch, own)
    looked = Lookout(database, noting(set()), own_transactions=own)
    await rest(looked, "inbox")
    await looked.step()
    await looked.step()
    assert idle.complete == 1
    idle.write()
    await looked.step()
    assert idle.complete == 2
    await rest(looked, "release")
    await looked.step()
    assert idle.complete == 3
    await rest(looked, "release")  # the last look was for it, too
    await looked.step()
    assert idle.complete == 3


async def test_loops_that_have_rested_for_long_look_for_themselves_one_by_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: set[int] = set()
    IdleDatabase(monkeypatch, own)
    woken: set[str] = set()
    looked = Lookout(database, noting(woken), own_transactions=own)
    await rest(looked, "inbox", "release")
    await looked.step()
    assert woken == set()
    monkeypatch.setattr(lookout, "ROUND_SECONDS", 0.0)
    await looked.step()
    assert woken == {"inbox"}
    await rest(looked, "inbox")  # after its round
    woken.clear()
    await looked.step()
    assert woken == {"release"}


async def test_work_that_comes_with_the_time_is_due_without_a_complete_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: set[int] = set()
    idle = IdleDatabase(monkeypatch, own)
    idle.seconds = {"release": 3.0, "schedules": 4.5, "dispatch": 1.0}
    woken: set[str] = set()
    looked = Lookout(database, noting(woken), own_transactions=own)
    await rest(looked, "release", "schedules")
    for _ in range(3):
        await looked.step()
        assert woken == set()
    await looked.step()
    assert woken == {"release"}  # and not `dispatch`, which does not rest
    assert idle.complete == 1


@pytest.mark.parametrize(
    ("before", "later", "unchanged"),
    [
        (Snapshot(5, 5, 0, BEGAN), Snapshot(5, 5, 9, BEGAN), True),
        (Snapshot(5, 5, 0, BEGAN), Snapshot(7, 7, 9, BEGAN), True),  # 5 and 6 are its own
        (Snapshot(5, 5, 0, BEGAN), Snapshot(8, 8, 9, BEGAN), False),
        (Snapshot(4, 4, 0, BEGAN), Snapshot(5, 5, 9, BEGAN), False),
        (Snapshot(4, 5, 0, BEGAN), Snapshot(4, 5, 9, BEGAN), False),  # one was in progress, and may have ended unseen
        (Snapshot(5, 5, 0, BEGAN), Snapshot(5, 6, 9, BEGAN), False),
        (Snapshot(5, 5, 0, BEGAN), Snapshot(5, 5, 9, BEGAN + timedelta(seconds=1)), False),
        (Snapshot(5, 5, 0, BEGAN), Snapshot(10**9, 10**9, 9, BEGAN), False),
    ],
)
def test_only_own_transactions_leave_what_a_look_would_find_unchanged(
    before: Snapshot, later: Snapshot, *, unchanged: bool
) -> None:
    assert before.unchanged_in(later, {5, 6}) is unchanged


async def test_a_heartbeat_reports_its_transaction(database: Database) -> None:
    async with database.hot().use() as connection:
        record = NodeRecord(UUID(int=1), "n", "1", [], [])
        await register(connection, record)
        before = await read_snapshot(connection)
        beat_row = await beat(connection, record.node_id, draining=False, report=NodeReport())
        after = await read_snapshot(connection)
        await leave(connection, record.node_id)
    assert beat_row is not None
    assert before.next <= beat_row.transaction < after.next


async def test_the_next_late_node_is_that_with_the_oldest_heartbeat(database: Database) -> None:
    async with database.hot().use() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert (await read_due_work(connection, (), lease_seconds=8)).next_late is None
        await connection.execute(LIVE_NODE)
        await connection.execute(SILENT_NODE)
        due = await read_due_work(connection, (), lease_seconds=8)
        await transaction.rollback()
    assert due.next_late is not None
    assert 0.9 <= due.next_late <= 1
