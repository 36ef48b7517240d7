"""`duly check` finds every broken promise, each made here by hand, and none where there is none."""

from collections.abc import AsyncIterator

import pytest

from duly.domain.events import EventKind
from duly.domain.job import Debounce, Flow
from duly.lifecycle.check import SHOWN, check
from tests.support.mixed_ledger import MixedLedger, empty_ledger, mixed_ledger


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[MixedLedger]:
    async with mixed_ledger(database_url) as made:
        yield made


async def test_jobs_in_every_place_break_no_promise(ledger: MixedLedger) -> None:
    report = await check(ledger.database)
    assert (report.clean, report.shown) == (True, [])
    assert (report.jobs, report.batches) == (len(ledger.ids) - 1, 1)
    rows = await ledger.sql(
        "select (select count(*) from ready), (select count(*) from scheduled), (select count(*) from running), "
        "(select count(*) from blocked where reason = 2), (select count(*) from blocked where reason = 3)"
    )
    assert min(rows[0]) > 0


ALSO_SCHEDULED = """
insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, reason, queue, type)
select tenant_id, job_id, now(), 0, 0, timeout_seconds, priority, 0, 0, callback_events, 0, queue, type
from jobs where job_id = $1
"""
READY_AFTER_ITS_END = """
insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events,
                   queue, type)
select tenant_id, job_id, 1, 2, timeout_seconds, priority, 1, 0, callback_events, queue, type
from jobs where job_id = $1
"""
# What is done to which job, and what is said of it.
BROKEN = [
    ("running", "delete from events where job_id = $1 and kind = 1", "has the status pending by its events and running where"),
    (
        "completed",
        "update events set sequence = sequence + 1 where job_id = $1 and sequence = 2",
        "event 3 follows where 2 belongs",
    ),
    (
        "completed",
        "insert into events (tenant_id, job_id, sequence, kind, attempt, source) values (1, $1, 3, 2, 1, 'test')",
        "event 3 comes after its end",
    ),
    ("completed", "update events set kind = 9 where job_id = $1 and sequence = 1", "of the unknown kind 9"),
    ("completed", "update events set tenant_id = 2 where job_id = $1", "belong to another tenant"),
    ("completed", "delete from jobs where job_id = $1", "was never recorded, and has events"),
    ("ready", "delete from jobs where job_id = $1", "was never recorded, and has a row in a hot table"),
    ("ready", "delete from ready where job_id = $1", "is pending by its events and stands nowhere"),
    ("scheduled", "delete from scheduled where job_id = $1", "is pending by its events and stands nowhere"),
    ("running", "delete from running where job_id = $1", "is running by its events and stands nowhere"),
    ("child", "delete from blocked where job_id = $1", "is pending by its events and stands nowhere"),
    (
        "ready",
        ALSO_SCHEDULED,
        "is pending by its events and stands ready and scheduled",
    ),
    (
        "completed",
        READY_AFTER_ITS_END,
        "is completed by its events and stands ready",
    ),
    ("running", "update running set token = token + 1 where job_id = $1", "has the token 1 by its events and 2 where"),
    ("running", "update running set token = 0 where job_id = $1", "has the token 1 by its events and 0 where"),
    ("running", "update running set sequence = 2 where job_id = $1", "has the sequence 1 by its events and 2 where"),
    ("retrying", "update scheduled set attempt = 2 where job_id = $1", "has the attempt 1 by its events and 2 where"),
    ("ready", "update ready set crashes = 1 where job_id = $1", "has the crashes 0 by its events and 1 where"),
    ("ready", "update ready set queue = 'other' where job_id = $1", "with the queue default and stands (ready) with"),
    ("ready", "update ready set priority = 9 where job_id = $1", "with the priority 0 and stands (ready) with 9"),
    ("scheduled", "update scheduled set timeout_seconds = 1 where job_id = $1", "with the timeout_seconds 60.0 and"),
    ("running", "update running set callback_events = 8 where job_id = $1", "with the callback_events 0 and stands"),
    ("ready", "update ready set tenant_id = 2 where job_id = $1", "with the tenant_id 1 and stands (ready) with 2"),
    ("second of batch", "update running set batch_id = null where job_id = $1", "with the batch_id"),
    ("expiring", "update ready set expires_at = null where job_id = $1", "and at None where it stands"),
    (
        "stopping",
        "update running set cancel_requested_at = null where job_id = $1",
        "is wanted cancelled by its events",
    ),
    (
        "running",
        "update running set cancel_requested_at = now() where job_id = $1",
        "is wanted cancelled by its events",
    ),
    ("holder", "update running set marks = 0 where job_id = $1", "should have the marks <Mark.KEYED"),
    ("unique", "update ready set marks = 0 where job_id = $1", "should have the marks <Mark.UNIQUE"),
    ("parent", "update ready set marks = 0 where job_id = $1", "should have the marks <Mark.DEPENDED"),
    ("ready", "update ready set marks = 8 where job_id = $1", "should have the marks <Mark: 0> and has <Mark.MERGED"),
    ("running", "update running set marks = 4 where job_id = $1", "and has <Mark.DEPENDED: 4>"),
    ("running", "delete from checkpoints where job_id = $1", "should have the marks <Mark.DEPENDED: 4> and has"),
    (
        "completed",
        "insert into checkpoints (tenant_id, job_id, token, value) values (1, $1, 1, '1')",
        "is completed and has a checkpoint",
    ),
    ("child", "update blocked set waits_for = 3 where job_id = $1", "waits for 3 others, and 2 are recorded"),
    ("child", "delete from dependencies where child_id = $1", "waits for 2 others, and 0 are recorded"),
    ("child", "update blocked set reason = 5 where job_id = $1", "is blocked for no known reason (5)"),
    (
        "ready",
        "insert into dependencies (tenant_id, parent_id, child_id) select 1, job_id, $1 from running limit 1",
        "has others to wait for, and does not wait for them",
    ),
    (
        "completed",
        "insert into dependencies (tenant_id, parent_id, child_id) select 1, $1, job_id from ready limit 1",
        "has ended, and 1 others wait for it",
    ),
    ("holder", "delete from concurrency where job_id = $1", "may run without its concurrency key 'k'"),
    (
        "third of key",
        "with c as (delete from concurrency) select $1::uuid",
        "waits for the concurrency key 'k', which is free",
    ),
    (
        "ready",
        "insert into concurrency (tenant_id, key, job_id) values (1, 'mine', $1)",
        "holds the concurrency key 'mine', and is not one to hold it now",
    ),
    (
        "second of key",
        "update concurrency set job_id = $1 where key = 'k'",
        "holds the concurrency key 'k', and is not one to hold it now",
    ),
    (
        "second of key",
        "update blocked set concurrency_key = 'l' where job_id = $1",
        "waits for the concurrency key 'l', which is not its own",
    ),
    ("unique", "delete from unique_keys where job_id = $1", "is unfinished, and nobody holds its unique key 'v'"),
    (
        "completed",
        "insert into unique_keys (tenant_id, type, key, job_id) values (1, 'echo', 'w', $1)",
        "holds the unique key 'w', and has no right to it",
    ),
    (
        "unique",
        "update unique_keys set key = 'x' where job_id = $1",
        "holds the unique key 'x', and has no right to it",
    ),
    (
        "completed",
        "insert into endings (tenant_id, job_id, sequence, kind, marks) values (1, $1, 1, 10, 4)",
        "did not end at 1",
    ),
    ("completed", "delete from deliveries where job_id = $1 and kind = 10", "has no webhook for its events 2"),
    ("completed", "delete from deliveries where job_id = $1", "has no webhook for its events 1, 2"),
    (
        "completed",
        "update deliveries set sequence = 7 where job_id = $1 and kind = 10",
        "has a webhook of an event that does not exist: 7",
    ),
    ("batch", "delete from batches where batch_id = $1", "was never recorded, and has 2 jobs"),
    ("batch", "update batches set total = 3 where batch_id = $1", "says 3 jobs from"),
    ("batch", "update batches set last_id = first_id where batch_id = $1", "says 2 jobs from"),
    (
        "batch",
        "update batches set completed = 0 where batch_id = $1",
        "counts 0 completed, 0 failed, 0 cancelled, and by the events of its jobs it is 1 completed",
    ),
    (
        "batch",
        "update batches set failed = 1 where batch_id = $1",
        "counts 1 completed, 1 failed, 0 cancelled, and by",
    ),
    (
        "batch",
        "insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values (1, $1, 1, 0, 0)",
        "counts 2 completed",
    ),
    ("batch", "update batches set completed_at = now() where batch_id = $1", "is marked as complete, and is not"),
    (None, "delete from control", "the version of what holds claims back is missing: nothing is claimed"),
]


@pytest.mark.parametrize(("name", "statement", "said"), BROKEN, ids=[f"{name} {said}" for name, _, said in BROKEN])
async def test_a_broken_promise_is_found(ledger: MixedLedger, name: str | None, statement: str, said: str) -> None:
    assert await ledger.violations() == []
    await ledger.sql(statement, *([ledger.ids[name]] if name else []))
    found = await ledger.violations()
    assert any(said in sentence for sentence in found), found
    if name is not None:
        assert any(str(ledger.ids[name]) in sentence and said in sentence for sentence in found), found
    if name is None:
        await ledger.sql("insert into control (id, version) values (1, 1)")


async def complete_the_batch(ledger: MixedLedger) -> None:
    await ledger.end("second of batch", EventKind.COMPLETED)
    await ledger.draw_consequences()


async def test_a_complete_batch_that_is_not_marked_so_is_found(ledger: MixedLedger) -> None:
    await complete_the_batch(ledger)
    assert await ledger.violations() == []
    await ledger.sql("update batches set completed_at = null")
    assert await ledger.violations() == [f"batch {ledger.ids['batch']} is complete, and not marked so"]


async def test_a_complete_batch_whose_following_job_is_missing_is_found(ledger: MixedLedger) -> None:
    await complete_the_batch(ledger)
    await ledger.sql("update batches set then_job_id = null")
    [said] = await ledger.violations()
    assert said.endswith("is complete, and the job that is to follow it was not submitted")


async def test_what_is_still_to_be_drawn_from_an_end_is_no_violation(ledger: MixedLedger) -> None:
    """Keys that are still to be passed on, children still to be told, tallies still to be added up."""
    for name in ("holder", "running", "second of batch"):
        await ledger.end(name, EventKind.COMPLETED)
    assert await ledger.sql("select from endings") != []
    assert await ledger.sql("select from batch_tallies") != []
    assert await ledger.violations() == []
    await ledger.draw_consequences()
    assert await ledger.violations() == []


async def test_an_end_whose_consequences_were_lost_is_found(ledger: MixedLedger) -> None:
    for name in ("holder", "running", "second of batch"):
        await ledger.end(name, EventKind.COMPLETED)
    await ledger.sql("truncate endings, batch_tallies")
    found = await ledger.violations()
    assert [sentence for sentence in found if "holds the concurrency key 'k'" in sentence]
    assert [sentence for sentence in found if "has ended, and 1 others wait for it" in sentence]
    assert [sentence for sentence in found if "counts 1 completed" in sentence]
    assert len(found) == 3


async def test_a_webhook_that_was_delivered_is_no_violation_and_one_tried_in_vain_is(ledger: MixedLedger) -> None:
    tried = (
        "insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, duration_ms, kind, attempt, outcome) "
        "select tenant_id, job_id, delivery_id, sequence, 1, kind, 1, $2 from deliveries where job_id = $1"
    )
    await ledger.sql(tried, ledger.ids["completed"], 2)
    await ledger.sql("delete from deliveries where job_id = $1", ledger.ids["completed"])
    assert await ledger.violations() == [f"job {ledger.ids['completed']} has no webhook for its events 1, 2"]
    await ledger.sql("update delivery_attempts set outcome = 1 where sequence = 1")
    await ledger.sql("update delivery_attempts set outcome = 3 where sequence = 2")
    assert await ledger.violations() == []


async def test_a_unique_key_that_was_passed_on_is_no_violation_also_when_its_new_holder_has_ended(
    database_url: str,
) -> None:
    async with empty_ledger(database_url) as ledger:
        flow = Flow(unique_key="u", debounce=Debounce(0.0, 0.0))
        await ledger.submit("first", flow=flow)
        await ledger.claim()
        await ledger.submit("second", flow=flow)
        assert [row[0] for row in await ledger.sql("select job_id from unique_keys")] == [ledger.ids["second"]]
        assert await ledger.violations() == []
        await ledger.claim()
        await ledger.end("second", EventKind.COMPLETED)
        assert await ledger.violations() == []
        await ledger.sql("update jobs set unique_key = 'v' where job_id = $1", ledger.ids["second"])
        [said] = await ledger.violations()
        assert said.endswith("is unfinished, and nobody holds its unique key 'u'")


async def test_history_of_a_day_whose_jobs_are_dropped_is_no_violation(database_url: str) -> None:
    """The tables of a day are dropped one by one, those of the jobs first."""
    async with empty_ledger(database_url) as ledger:
        await ledger.sql(
            "create table events_20200101 partition of events "
            "for values from ('016f5e66-e800-7000-8000-000000000000') to ('016f638d-4400-7000-8000-000000000000')"
        )
        await ledger.sql(
            "insert into events (tenant_id, job_id, sequence, kind, attempt, source) "
            "values (1, '016f5e66-e800-7000-8000-000000000001', 1, 12, 0, 'test')"
        )
        assert await ledger.violations() == []
        await ledger.sql("drop table events_20200101")


async def test_only_the_first_violations_are_shown_and_all_are_counted(database_url: str) -> None:
    async with empty_ledger(database_url) as ledger:
        await ledger.submit(*(f"job {n}" for n in range(SHOWN + 7)))
        await ledger.sql("truncate ready")
        report = await check(ledger.database)
        assert (report.clean, report.broken, len(report.shown)) == (False, SHOWN + 7, SHOWN)


async def test_a_check_changes_nothing_and_waits_for_nobody(ledger: MixedLedger) -> None:
    """Writers that have not committed hold it up as little as it holds up them."""
    async with ledger.database.connection() as connection, connection.transaction():
        await connection.execute("lock table ready, scheduled, blocked, running in exclusive mode")
        assert (await check(ledger.database)).clean
