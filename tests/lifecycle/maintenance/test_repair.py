"""`duly check --repair` rebuilds rows from the ledger while the service runs, and changes nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from duly.domain.events import EventKind
from duly.domain.invariant_facts import RepairAction
from duly.domain.job import DEFAULT_TENANT, Flow
from duly.lifecycle.maintenance.check import check
from duly.lifecycle.maintenance.repair import RepairInProgress, repair
from duly.store.maintenance.repair_writes import alone
from duly.store.postgres.database import Database
from tests.support import handlers as support
from tests.support.broken_invariants import IN_OTHER_TABLES, IN_THE_LEDGER, named
from tests.support.mixed_ledger import HOT_TABLES, MixedLedger, mixed_ledger
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[MixedLedger]:
    async with mixed_ledger(database_url) as made:
        yield made


async def repaired(ledger: MixedLedger) -> list[str]:
    """Repairs; a second time changes nothing. Returns what could not be repaired."""
    await repair(ledger.database)
    before = await everything(ledger)
    again = await repair(ledger.database)
    assert +again.done == {}
    assert await everything(ledger) == before
    return [breach.sentence for breach in again.report.shown]


async def everything(ledger: MixedLedger) -> list[Any]:
    tables = (*HOT_TABLES.split(", "), "jobs", "events", "batches", "checkpoints", "control", "steps", "signals")
    return [sorted(map(str, await ledger.sql(f"select * from {table}"))) for table in tables]  # noqa: S608  # names of our own


async def place_of(ledger: MixedLedger, name: str) -> Any:
    rows = await ledger.sql(
        "select 'ready' as place, job_id, token, sequence, attempt, expires_at, null::timestamptz as run_at from ready "
        "union all select 'scheduled', job_id, token, sequence, attempt, expires_at, run_at from scheduled "
        "union all select 'blocked ' || reason, job_id, token, sequence, attempt, expires_at, run_at from blocked "
        "union all select 'running', job_id, token, sequence, attempt, null, null from running"
    )
    [row] = [row for row in rows if row["job_id"] == ledger.ids[name]]
    return row


async def history(ledger: MixedLedger, name: str) -> list[EventKind]:
    rows = await ledger.sql("select kind from events where job_id = $1 order by sequence", ledger.ids[name])
    return [EventKind(row[0]) for row in rows]


async def test_a_ledger_that_keeps_its_promises_is_left_as_it_is(ledger: MixedLedger) -> None:
    before = await everything(ledger)
    done = await repair(ledger.database)
    assert (done.report.clean, +done.done) == (True, {})
    assert await everything(ledger) == before


@pytest.mark.parametrize(("name", "statement", "said"), IN_OTHER_TABLES, ids=named(IN_OTHER_TABLES))
async def test_a_broken_promise_is_repaired(ledger: MixedLedger, name: str | None, statement: str, said: str) -> None:
    await ledger.sql(statement, *([ledger.ids[name]] if name else []))
    assert await ledger.violations() != []
    left = await repaired(ledger)
    assert [sentence for sentence in left if "not recorded, but has events" not in sentence] == []
    await ledger.run_to_the_end()
    assert await ledger.unfinished() == []


@pytest.mark.parametrize(("name", "statement", "said"), IN_THE_LEDGER, ids=named(IN_THE_LEDGER))
async def test_what_the_ledger_itself_has_lost_stays_visible(
    ledger: MixedLedger, name: str, statement: str, said: str
) -> None:
    await ledger.sql(statement, ledger.ids[name])
    left = await repaired(ledger)
    assert [sentence for sentence in left if said in sentence] != []


async def test_steps_and_signals_are_rebuilt_from_the_events(ledger: MixedLedger) -> None:
    before = (await everything(ledger))[-2:]  # the repair raises the version in `control`
    await ledger.sql("truncate steps, signals")
    assert await repaired(ledger) == []
    assert (await everything(ledger))[-2:] == before


async def test_each_job_stands_again_where_its_events_tell(ledger: MixedLedger) -> None:
    waiting = ("ready", "scheduled", "expiring", "second of key", "parked", "answered", "awaiting")
    before = {name: await place_of(ledger, name) for name in waiting}
    await ledger.sql(f"truncate {HOT_TABLES}")
    assert await repaired(ledger) == []
    for name, row in before.items():
        assert tuple(await place_of(ledger, name)) == tuple(row)
    assert (await place_of(ledger, "child"))["place"] == "blocked 2"
    assert (await place_of(ledger, "grandchild"))["place"] == "blocked 2"
    running = await place_of(ledger, "running")
    assert (running["place"], running["token"], running["sequence"], running["attempt"]) == ("ready", 1, 2, 0)
    assert (await history(ledger, "running"))[-1] is EventKind.REQUEUED
    retrying = await place_of(ledger, "retrying")
    assert (retrying["place"], retrying["attempt"]) == ("ready", 1)
    assert (await history(ledger, "stopping"))[-2:] == [EventKind.REQUEUED, EventKind.CANCELLED]
    # A job that has started keeps its key; those that wait for it come later.
    assert [row[0] for row in await ledger.sql("select job_id from concurrency")] == [ledger.ids["holder"]]
    assert (await place_of(ledger, "holder"))["place"] == "ready"


async def test_held_and_compensating_jobs_stand_again_where_they_were(ledger: MixedLedger) -> None:
    await ledger.submit("held", flow=Flow(holds=True, concurrency_key="h"))
    await ledger.claim()
    await ledger.end("held", EventKind.HELD, delay_seconds=1)
    await ledger.end("stepped", EventKind.FAILED)
    names = ("held", "stepped")
    before = [tuple(await place_of(ledger, name)) for name in names]
    assert [row[0] for row in before] == ["scheduled", "ready"]
    await ledger.sql(f"truncate {HOT_TABLES}, concurrency")
    assert await repaired(ledger) == []
    assert [tuple(await place_of(ledger, name)) for name in names] == before
    assert await ledger.sql("select from concurrency where key = 'h'") != []
    await ledger.claim()
    await ledger.sql(f"truncate {HOT_TABLES}")
    assert await repaired(ledger) == []
    assert (await history(ledger, "stepped"))[-3:] == [EventKind.COMPENSATING, EventKind.STARTED, EventKind.REQUEUED]


@pytest.mark.parametrize("tables", [HOT_TABLES, "concurrency", "concurrency, blocked", "concurrency, running"])
async def test_a_job_that_had_begun_keeps_its_concurrency_key_before_older_ones(
    ledger: MixedLedger, tables: str
) -> None:
    await ledger.submit("first")
    await ledger.claim()
    await ledger.submit("older", flow=Flow(concurrency_key="l", depends_on=(ledger.ids["first"],)))
    await ledger.submit("begun", flow=Flow(concurrency_key="l"))
    await ledger.claim()
    await ledger.end("first", EventKind.COMPLETED)
    await ledger.draw_consequences()
    assert (await place_of(ledger, "older"))["place"] == "blocked 3"
    await ledger.sql(f"truncate {tables}")
    assert await repaired(ledger) == []
    held = await ledger.sql("select job_id from concurrency where key = 'l'")
    assert [row[0] for row in held] == [ledger.ids["begun"]]
    assert (await place_of(ledger, "begun"))["place"] == ("ready" if "running" in tables else "running")


async def test_all_jobs_of_a_ledger_without_hot_tables_finish_after_a_repair(ledger: MixedLedger) -> None:
    await ledger.sql(f"truncate {HOT_TABLES}")
    assert await repaired(ledger) == []
    await ledger.run_to_the_end()
    assert await ledger.unfinished() == []
    assert await ledger.violations() == []
    assert [tuple(row) for row in await ledger.sql("select completed, failed, then_job_id is null from batches")] == [
        (2, 0, False)
    ]
    for name in ("child", "grandchild", "third of key", "running", "retrying"):
        assert (await history(ledger, name))[-1] is EventKind.COMPLETED


async def test_the_outcome_of_an_attempt_from_before_the_repair_is_refused(ledger: MixedLedger) -> None:
    await ledger.sql("truncate running")
    assert await ledger.end("running", EventKind.COMPLETED) == 0
    assert await repaired(ledger) == []
    assert await ledger.end("running", EventKind.COMPLETED) == 0
    zombie = ledger.attempts["running"]
    await ledger.claim()
    fresh = ledger.attempts["running"]
    assert (fresh.token, fresh.attempt, fresh.checkpoint) == (zombie.token + 1, zombie.attempt, "1")
    ledger.attempts["running"] = zombie
    assert await ledger.end("running", EventKind.COMPLETED) == 0
    ledger.attempts["running"] = fresh
    assert await ledger.end("running", EventKind.COMPLETED) == 1


async def test_a_job_whose_parent_failed_meanwhile_fails(ledger: MixedLedger) -> None:
    await ledger.claim()
    await ledger.end("parent", EventKind.FAILED)
    await ledger.sql(f"truncate {HOT_TABLES}")
    assert await repaired(ledger) == []
    assert (await history(ledger, "child"))[-1] is EventKind.FAILED
    await ledger.draw_consequences()
    await ledger.run_to_the_end()
    assert (await history(ledger, "grandchild"))[-1] is EventKind.COMPLETED
    assert await ledger.violations() == []


async def test_lost_consequences_are_drawn_once_more(ledger: MixedLedger) -> None:
    for name in ("holder", "running", "second of batch"):
        await ledger.end(name, EventKind.COMPLETED)
    await ledger.sql("truncate endings, batch_tallies")
    assert await repaired(ledger) == []
    assert [row[0] for row in await ledger.sql("select job_id from concurrency")] == [ledger.ids["second of key"]]
    await ledger.draw_consequences()
    assert await ledger.violations() == []
    assert (await ledger.sql("select waits_for from blocked where job_id = $1", ledger.ids["child"]))[0][0] == 1
    rows = await ledger.sql("select completed, completed_at is null, then_job_id is null from batches")
    assert [tuple(row) for row in rows] == [(2, False, False)]


async def test_a_webhook_goes_on_under_its_own_id_and_number_of_tries(ledger: MixedLedger) -> None:
    await ledger.sql(
        "insert into delivery_attempts (tenant_id, job_id, delivery_id, sequence, duration_ms, kind, attempt, outcome) "
        "select tenant_id, job_id, delivery_id, sequence, 1, kind, n, 2 from deliveries, generate_series(1, 3) n "
        "where job_id = $1 and kind = 10",
        ledger.ids["completed"],
    )
    listed = "select sequence, delivery_id, attempt, receiver_id from deliveries where job_id = $1 order by sequence"
    before = await ledger.sql(listed, ledger.ids["completed"])
    await ledger.sql("truncate deliveries")
    assert await repaired(ledger) == []
    after = await ledger.sql(listed, ledger.ids["completed"])
    assert [tuple(row)[:3] for row in after] == [(1, after[0][1], 0), (2, before[1][1], 3)]
    assert [row[3] for row in after] == [row[3] for row in before]


async def test_a_unique_key_goes_to_the_job_that_took_it_last(ledger: MixedLedger) -> None:
    await ledger.end("kept", EventKind.FAILED)
    await ledger.submit("newer", flow=Flow(unique_key="u"))
    held = "select job_id from unique_keys where key = 'u'"
    await ledger.sql("truncate unique_keys")
    assert await repaired(ledger) == []
    assert [row[0] for row in await ledger.sql(held)] == [ledger.ids["newer"]]


async def test_two_repairs_at_once_are_refused(ledger: MixedLedger) -> None:
    async with ledger.database.connection() as connection, alone(connection) as first:
        assert first
        with pytest.raises(RepairInProgress):
            await repair(ledger.database)
    assert (await repair(ledger.database)).report.clean


async def test_a_job_that_others_change_meanwhile_is_left_to_them(ledger: MixedLedger) -> None:
    """A writer locks the broken row and corrects it; the repair waits for it, reads again, and changes nothing."""
    await ledger.sql("update running set sequence = 7 where job_id = $1", ledger.ids["running"])
    other = Database(ledger.database._url, connections=1)
    try:
        async with other.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("update running set sequence = 1 where job_id = $1", ledger.ids["running"])
            under_way = asyncio.create_task(repair(ledger.database))
            await eventually(lambda: ledger.sql("select from pg_stat_activity where wait_event_type = 'Lock'"))
            await transaction.commit()
            done = await asyncio.wait_for(under_way, 60)
    finally:
        await other.close()
    assert (done.report.clean, +done.done) == (True, {})
    assert await ledger.end("running", EventKind.COMPLETED) == 1


async def test_a_busy_service_that_loses_its_hot_tables_finishes_everything(
    start_service: StartService, receiver: Receiver
) -> None:
    """With jobs in every place, and new ones coming in all the time."""
    service = await start_service(worker_slots=20)
    database = service.node.database
    told = {"callbackUrl": receiver.url, "callbackEvents": ["job.completed", "job.failed"]}
    ids = [(await service.submit("progress", {"steps": 2}, **told))["jobId"] for _ in range(20)]
    ids += [(await service.submit("wait-for-gate", {"name": "g"}))["jobId"] for _ in range(10)]
    ids += [(await service.submit("wait-for-gate", {"name": "g"}, concurrencyKey="k"))["jobId"] for _ in range(5)]
    ids += [(await service.submit("wait-for-gate", {"name": "g"}, uniqueKey="u"))["jobId"]]
    ids += [(await service.submit("progress", delaySeconds=1.0))["jobId"] for _ in range(5)]
    ids += [(await service.submit("progress", dependsOn=[ids[-1], ids[25]]))["jobId"]]
    ids += [(await service.submit("retry-after", {"after": 600}))["jobId"]]
    batch = {"jobs": [{"type": "wait-for-gate", "parameters": {"name": "g"}}] * 5, "then": {"type": "return-nothing"}}
    answer = await service.client.post("/api/v1/jobs/batch", json=batch)
    assert answer.status_code == 202, answer.text
    ids += answer.json()["jobIds"]
    await asyncio.wait_for(support.has_entered("g").wait(), 60)
    await eventually(lambda: service.sql("select from scheduled where reason = 1"))
    losing = asyncio.create_task(service.alter(f"truncate {HOT_TABLES}"))
    ids += [(await service.submit("progress", **told))["jobId"] for _ in range(20)]
    await losing
    support.gate("g").set()
    ids += [(await service.submit("progress", **told))["jobId"] for _ in range(20)]
    assert not (await check(database)).clean
    done = await repair(database)
    assert (done.report.clean, done.done[RepairAction.PLACE] > 0) == (True, True)
    for job_id in ids:
        assert (await service.ended(job_id))["status"] == "completed"
    batch_id = answer.json()["batchId"]

    async def followed() -> bool:
        view = (await service.client.get(f"/api/v1/batches/{batch_id}")).json()
        return view["completed"] == 5 and view["thenJobId"] is not None

    await eventually(followed)
    assert (await check(database)).clean


async def test_a_lost_job_keeps_its_start_in_the_future_and_an_expired_one_still_expires(ledger: MixedLedger) -> None:
    run_at = (await place_of(ledger, "scheduled"))["run_at"]
    await ledger.sql("update jobs set expires_at = now() - interval '1 hour' where job_id = $1", ledger.ids["expiring"])
    await ledger.sql("truncate ready, scheduled")
    assert await repaired(ledger) == []
    assert (await place_of(ledger, "scheduled"))["run_at"] == run_at
    assert (await place_of(ledger, "expiring"))["expires_at"] < run_at - timedelta(minutes=30)
    assert ledger.ids["expiring"] not in [job.job_id for job in await ledger.claim()]
    assert (await ledger.sql("select tenant_id from ready"))[0][0] == DEFAULT_TENANT
