"""Statements of steps, parking and resumption find their rows by whole keys, in tables of any state."""

import pytest

from duly.domain.ids import new_job_id
from duly.domain.job import Mark
from duly.domain.steps import StepKind
from duly.store.ledger.steps import READ_STEPS, READ_WAITS, RECORD_STEPS_IF_HELD
from duly.store.queue.park import PARK_IF_HELD, RESUME_DUE
from tests.store.test_plans import STATES, conditions, held, indexes_of, plan_of, scanned_in_full, tables

pytestmark = pytest.mark.fresh_database
BY_KEY = "(job_id >= t.job_id) AND (job_id <= t.job_id)"


@pytest.mark.parametrize("state", STATES)
async def test_steps_are_recorded_and_read_by_the_keys_of_their_jobs(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        job_ids, tokens = zip(*await held(connection), strict=True)
        each = [1] * len(job_ids)
        numbered = [*range(1, len(job_ids) + 1)]
        recorded = await plan_of(
            connection,
            RECORD_STEPS_IF_HELD,
            *(job_ids, tokens, each, [int(Mark.STEPS)] * len(job_ids)),
            *(numbered, each, ["a"] * len(job_ids), ["{}"] * len(job_ids), [False] * len(job_ids), "test"),
        )
        read = [await plan_of(connection, statement, [1], [new_job_id()]) for statement in (READ_STEPS, READ_WAITS)]
    assert scanned_in_full(recorded) == []
    assert conditions(recorded, "running") == [f"({BY_KEY})"]
    assert conditions(recorded, "steps") == conditions(recorded, "events") == []
    for nodes in read:
        assert scanned_in_full(nodes) == []
        assert all("job_id = " in condition for table in ("steps", "signals") for condition in conditions(nodes, table))
        assert [condition for condition in conditions(nodes, "events") if "sequence = " not in condition] == []


@pytest.mark.parametrize("state", STATES)
async def test_a_park_reads_by_the_keys_of_its_job(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        job_ids, tokens = zip(*await held(connection), strict=True)
        count = len(job_ids)
        waits = ([*range(1, count + 1)], [int(StepKind.TIMER)] * count, ["sleep-1"] * count, [5.0] * count)
        nodes = await plan_of(connection, PARK_IF_HELD, job_ids, tokens, *waits, "test")
    assert scanned_in_full(nodes) == []
    assert len(conditions(nodes, "running")) == 1
    assert BY_KEY in conditions(nodes, "running")[0]
    assert set(conditions(nodes, "scheduled")) == set()
    assert all("name = " in condition for condition in conditions(nodes, "steps"))


@pytest.mark.parametrize("state", STATES)
async def test_a_resumption_reads_due_jobs_in_their_order(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(connection, RESUME_DUE, 100, [new_job_id()], "test")
    assert scanned_in_full(nodes) == []
    assert indexes_of(nodes, "scheduled") == {"scheduled_due", "scheduled_pkey"}
    assert [condition for condition in conditions(nodes, "steps") if "job_id" not in condition] == []
