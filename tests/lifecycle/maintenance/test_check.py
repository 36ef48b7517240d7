"""`duly check` finds every violated invariant, each produced here by hand, and no other."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import Debounce, Flow
from duly.lifecycle.maintenance.check import SHOWN, check
from tests.support.broken_invariants import BROKEN, named
from tests.support.database_pool import TestDatabases
from tests.support.mixed_ledger import MixedLedger, empty_ledger, mixed_ledger
from tests.support.postgres_servers import Server


@pytest.fixture(scope="module")
async def ground(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[str]:
    """Returns a database that all of these tests share; each leaves it empty."""
    async with databases_of(server).lent(fresh=True) as url:
        yield url


@pytest.fixture
async def ledger(ground: str) -> AsyncIterator[MixedLedger]:
    async with mixed_ledger(ground) as made:
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


@pytest.mark.parametrize(("name", "statement", "said"), BROKEN, ids=named(BROKEN))
async def test_a_broken_promise_is_found(ledger: MixedLedger, name: str | None, statement: str, said: str) -> None:
    assert await ledger.violations() == []
    await ledger.sql(statement, *([ledger.ids[name]] if name else []))
    found = await ledger.violations()
    assert any(said in sentence for sentence in found), found
    if name is not None:
        assert any(str(ledger.ids[name]) in sentence and said in sentence for sentence in found), found
    if name is None:
        await ledger.sql("insert into control (id, version) values (1, 1)")


async def test_a_failed_job_with_a_step_that_was_not_compensated_is_found(ledger: MixedLedger) -> None:
    await ledger.end("stepped", EventKind.FAILED)
    assert await ledger.violations() == []
    await ledger.sql("update events set kind = 11, data = '{}' where kind = -2")
    await ledger.sql("delete from ready where job_id = $1", ledger.ids["stepped"])
    words = "has ended, but its completed steps were not compensated: charge"
    assert await ledger.violations() == [f"job {ledger.ids['stepped']}: {words}"]
    left = '{"code": "COMPENSATION_FAILED", "details": {"steps": ["charge"]}}'
    await ledger.sql(
        "update events set data = $1::text::json where kind = 11 and job_id = $2", left, ledger.ids["stepped"]
    )
    assert await ledger.violations() == []


async def complete_the_batch(ledger: MixedLedger) -> None:
    await ledger.end("second of batch", EventKind.COMPLETED)
    await ledger.draw_consequences()


async def test_a_complete_batch_that_is_not_marked_so_is_found(ledger: MixedLedger) -> None:
    await complete_the_batch(ledger)
    assert await ledger.violations() == []
    await ledger.sql("update batches set completed_at = null")
    assert await ledger.violations() == [f"batch {ledger.ids['batch']}: is complete, but not marked as complete"]


async def test_a_complete_batch_whose_following_job_is_missing_is_found(ledger: MixedLedger) -> None:
    await complete_the_batch(ledger)
    await ledger.sql("update batches set then_job_id = null")
    [said] = await ledger.violations()
    assert said.endswith("is complete, but its `then` job was not submitted")


async def test_what_is_still_to_be_drawn_from_an_end_is_no_violation(ledger: MixedLedger) -> None:
    """Follow-ups that are pending: keys to pass on, dependents to count down, tallies to add up."""
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
    assert [sentence for sentence in found if "has ended, but it still holds back 2 jobs" in sentence]
    assert [sentence for sentence in found if "counts are 1 completed" in sentence]
    assert len(found) == 3


async def test_a_webhook_that_was_delivered_is_no_violation_and_one_tried_in_vain_is(ledger: MixedLedger) -> None:
    tried = (
        "insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, duration_ms, kind, attempt, outcome) "
        "select tenant_id, job_id, delivery_id, sequence, 1, kind, 1, $2 from deliveries where job_id = $1"
    )
    await ledger.sql(tried, ledger.ids["completed"], 2)
    await ledger.sql("delete from deliveries where job_id = $1", ledger.ids["completed"])
    assert await ledger.violations() == [
        f"job {ledger.ids['completed']}: has no delivery to its callback for the events 1, 2"
    ]
    await ledger.sql("update delivery_attempts set outcome = 1 where sequence = 1")
    await ledger.sql("update delivery_attempts set outcome = 3 where sequence = 2")
    assert await ledger.violations() == []


async def test_a_webhook_to_an_endpoint_stands_for_none_to_the_callback(ledger: MixedLedger) -> None:
    await ledger.sql("update deliveries set registered = true where job_id = $1", ledger.ids["completed"])
    assert await ledger.violations() == [
        f"job {ledger.ids['completed']}: has no delivery to its callback for the events 1, 2"
    ]
    await ledger.sql(
        "insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, duration_ms, kind, attempt, outcome, "
        "registered) select tenant_id, job_id, delivery_id, sequence, 1, kind, 1, 1, true from deliveries "
        "where job_id = $1",
        ledger.ids["completed"],
    )
    assert await ledger.violations() == [
        f"job {ledger.ids['completed']}: has no delivery to its callback for the events 1, 2"
    ]


async def test_what_endpoints_are_told_that_is_no_event_of_a_job_is_no_violation(ledger: MixedLedger) -> None:
    message = "values (1, $1, 0, 22, gen_random_uuid(), true)"
    await ledger.sql(
        f"insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered) {message}", new_job_id()
    )
    await ledger.sql(
        "insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, duration_ms, kind, attempt, outcome, "
        "registered) values (1, $1, $1, 0, 1, 20, 1, 3, true)",
        new_job_id(),
    )
    assert await ledger.violations() == []


async def test_a_unique_key_that_was_passed_on_is_no_violation_also_when_its_new_holder_has_ended(
    ground: str,
) -> None:
    async with empty_ledger(ground) as ledger:
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
        assert said.endswith("unfinished, but no job holds its unique key 'u'")


async def test_history_of_a_day_whose_jobs_are_dropped_is_no_violation(ground: str) -> None:
    """The tables of a day are dropped one by one, those of the jobs first."""
    async with empty_ledger(ground) as ledger:
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


async def test_a_batch_that_reaches_into_days_which_were_dropped_is_not_counted(ledger: MixedLedger) -> None:
    in_2020, far_ahead = UUID("016f5e66-e800-7000-8000-000000000000"), UUID("ffffffff-ffff-7000-8000-000000000000")
    await ledger.sql("update batches set first_id = $1, total = 3", in_2020)
    assert await ledger.violations() == []
    await ledger.sql("update batches set first_id = $1, last_id = $2", ledger.ids["completed"], far_ahead)
    [said] = await ledger.violations()
    assert "has 3 jobs from" in said


async def test_only_the_first_violations_are_shown_and_all_are_counted(ground: str) -> None:
    async with empty_ledger(ground) as ledger:
        await ledger.submit(*(f"job {n}" for n in range(SHOWN + 7)))
        await ledger.sql("truncate ready")
        report = await check(ledger.database)
        assert (report.clean, report.broken, len(report.shown)) == (False, SHOWN + 7, SHOWN)


async def test_a_check_changes_nothing_and_waits_for_nobody(ledger: MixedLedger) -> None:
    """Uncommitted writers do not block the check, and it does not block them."""
    async with ledger.database.connection() as connection, connection.transaction():
        await connection.execute("lock table ready, scheduled, blocked, running in exclusive mode")
        assert (await check(ledger.database)).clean
