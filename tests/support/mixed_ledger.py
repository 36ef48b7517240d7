"""Ledger with a job in every state, created by the service's own statements."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.domain.ids import SMALLEST, new_job_id
from duly.domain.job import DEFAULT_TENANT, ClaimedJob, Finish, Flow, Lane, NewBatch, NewJob
from duly.domain.job_template import template
from duly.domain.json_writer import digest_of
from duly.domain.steps import StepKind, Wait
from duly.domain.tenant import MOST_QUEUES
from duly.domain.webhook_events import CALLBACK_BITS
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.end.follow_ups import FollowUps
from duly.lifecycle.maintenance.check import check
from duly.lifecycle.submit.insert import insert_jobs
from duly.lifecycle.submit.queue_limit import QueueLimit
from duly.store.ledger.checkpoints import Checkpoint, record_checkpoints_if_held
from duly.store.ledger.steps import StepRecord, record_steps_if_held
from duly.store.postgres.database import Database
from duly.store.queue.flow_control import read_version
from duly.store.queue.nodes import NodeRecord, register
from duly.store.queue.park import resume_due
from duly.store.queue.ready import LaneStart, claim_ready
from duly.store.queue.scheduled import release_due
from duly.store.queue.signals import Signal, send_signal
from duly.store.submit.batches import record_batch
from duly.store.ties.placement import release_keyed
from duly.telemetry.metrics import Metrics
from tests.support.reused_connections import open_database

LANE = Lane(1, "default", "echo", 0)
HOT_TABLES = (
    "ready, scheduled, blocked, running, unique_keys, concurrency, dependencies, endings, batch_tallies, deliveries"
)
ALL_TABLES = f"jobs, events, delivery_attempts, batches, checkpoints, leases, nodes, steps, signals, {HOT_TABLES}"


@dataclass
class MixedLedger:
    """Verbs of the service on one database, and jobs by names that the test chose."""

    database: Database
    node_id: UUID = field(default_factory=uuid4)
    ids: dict[str, UUID] = field(default_factory=dict)
    attempts: dict[str, ClaimedJob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        signals, metrics = Wakeups(), Metrics()
        self.finisher = Finisher(self.database, signals, metrics, source="worker:test")
        self.follow_ups = FollowUps(
            self.database,
            signals,
            metrics,
            queue_limit=QueueLimit(self.database, most=MOST_QUEUES),
            clock=DatabaseClock(),
        )
        self.canceller = Canceller(self.database, signals, metrics)

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        async with self.database.connection() as connection:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows

    async def submit(self, *names: str, batch: NewBatch | None = None, **members: Any) -> None:
        """Inserts a job for each name, otherwise alike, in one transaction."""
        jobs = [new_job(**members)._replace(batch_id=batch.batch_id if batch else None) for _ in names]
        async with self.database.connection() as connection, connection.transaction():
            await insert_jobs(connection, jobs)
            if batch is not None:
                await record_batch(connection, batch, jobs, total=len(jobs))
        self.ids |= {name: job.job_id for name, job in zip(names, jobs, strict=True)}

    async def claim(self, limit: int = 100) -> list[ClaimedJob]:
        """Claims ready jobs, oldest first."""
        async with self.database.connection() as connection:
            version = await read_version(connection)
            claimed = await claim_ready(
                connection,
                [LaneStart(LANE, SMALLEST)],
                limit=limit,
                node_id=self.node_id,
                source="worker:test",
                version=version,
            )
        names = {job_id: name for name, job_id in self.ids.items()}
        self.attempts |= {names.get(job.job_id, str(job.job_id)): job for job in claimed}
        return claimed

    async def end(self, name: str, kind: EventKind, *, delay_seconds: float = 0.0) -> int:
        """Ends the newest attempt of this job with this outcome. Returns whether it was recorded."""
        attempt = self.attempts[name]
        end = Finish(attempt.job_id, attempt.token, kind, "{}", delay_seconds)
        return len(await self.finisher.record([end]))

    async def checkpoint(self, name: str) -> None:
        attempt = self.attempts[name]
        async with self.database.connection() as connection:
            await record_checkpoints_if_held(connection, [Checkpoint(attempt.job_id, attempt.token, "1")])

    async def step(self, *names: str) -> None:
        """Records a step of the newest attempt of each job."""
        data = '{"step": "charge", "attempts": 1, "compensation": true, "result": 7}'
        attempts = [self.attempts[name] for name in names]
        records = [StepRecord(attempt.job_id, attempt.token, "charge", data, compensable=True) for attempt in attempts]
        async with self.database.connection() as connection:
            assert await record_steps_if_held(connection, records, source="worker:test") == [True] * len(names)

    async def park(self, name: str, *waits: Wait) -> None:
        attempt = self.attempts[name]
        end = Finish(attempt.job_id, attempt.token, EventKind.PARKED, charged=False, waits=waits)
        assert [done.kind for done in await self.finisher.record([end])] == [EventKind.PARKED]

    async def park_for_children(self, name: str, *children: str) -> None:
        attempt, ids = self.attempts[name], tuple(self.ids[child] for child in children)
        end = Finish(attempt.job_id, attempt.token, EventKind.PARKED, charged=False, children=ids)
        assert [done.kind for done in await self.finisher.record([end])] == [EventKind.PARKED]

    async def send_signal(self, name: str, signal: str) -> None:
        sent = Signal(1, self.ids[name], signal, digest_of([1]), f'{{"signal": "{signal}", "body": [1]}}')
        async with self.database.connection() as connection:
            assert await send_signal(connection, sent, source="api") is not None

    async def draw_consequences(self) -> None:
        while await self.follow_ups.step() == 0:
            pass

    async def violations(self) -> list[str]:
        return [breach.sentence for breach in (await check(self.database)).shown]

    async def run_to_the_end(self) -> None:
        """Completes all jobs: makes scheduled ones due, ends running ones and runs follow-ups."""
        while await self.sql("select 1 from ready union all select 1 from scheduled union all select 1 from running"):
            await self.sql("update scheduled set run_at = now()")
            async with self.database.connection() as connection, connection.transaction():
                await resume_due(connection, limit=500, source="sweeper")
                await release_due(connection, limit=500)
                await release_keyed(connection, limit=500)
            await self.claim()
            running = await self.sql("select job_id, token from running")
            ends = [Finish(row[0], row[1], EventKind.COMPLETED, "{}") for row in running]
            await self.finisher.record(ends)
            await self.draw_consequences()

    async def unfinished(self) -> list[str]:
        """Returns the names of the jobs whose last event is not terminal."""
        rows = await self.sql(
            "select j.job_id from jobs j where 10 > coalesce((select kind from events e where e.job_id = j.job_id "
            "order by sequence desc limit 1), 0)"
        )
        names = {job_id: name for name, job_id in self.ids.items()}
        return sorted(names.get(row[0], str(row[0])) for row in rows)


def new_job(**members: Any) -> NewJob:
    return NewJob(DEFAULT_TENANT, new_job_id(), LANE.type, LANE.queue, LANE.priority, "{}", 60.0, 5, **members)


@asynccontextmanager
async def empty_ledger(url: str) -> AsyncIterator[MixedLedger]:
    """Yields a ledger in a database of the test, which is cleared afterwards, so that its violations do not count."""
    database = open_database(url, connections=10, transaction_pooling=False)
    ledger = MixedLedger(database)
    try:
        async with database.connection() as connection:
            await register(connection, NodeRecord(ledger.node_id, "node", "0", ["worker"], ["echo"]))
        yield ledger
        async with database.connection() as connection:
            await connection.execute("; ".join(map("delete from {}".format, ALL_TABLES.split(", "))))
    finally:
        await database.close()


@asynccontextmanager
async def mixed_ledger(url: str) -> AsyncIterator[MixedLedger]:
    """Creates jobs of every kind, named after their state."""
    every = sum(CALLBACK_BITS.values())
    told: dict[str, Any] = {"callback_url": "http://127.0.0.1:9/", "callback_events": every}
    async with empty_ledger(url) as ledger:
        await ledger.submit("completed", **told)
        await ledger.submit("failed", "running", "stopping", "retrying", "cancelled")
        await ledger.submit("stepped", "parked", "answered", "awaiting")
        await ledger.submit("holder", flow=Flow(concurrency_key="k"))
        await ledger.submit("kept", flow=Flow(unique_key="u"))
        batch = NewBatch(DEFAULT_TENANT, uuid4(), "nightly", template(new_job()))
        ledger.ids["batch"] = batch.batch_id
        await ledger.submit("first of batch", "second of batch", batch=batch)
        await ledger.claim()
        await ledger.step("stepped", "parked")
        for name, seconds in (("parked", 600.0), ("answered", None)):
            pause = (Wait(StepKind.TIMER, "pause", 3600.0),) if seconds else ()
            await ledger.park(name, Wait(StepKind.SIGNAL, "approval", seconds), *pause)
        await ledger.park_for_children("awaiting", "running", "retrying")
        await ledger.send_signal("answered", "approval")
        await ledger.send_signal("stepped", "early")
        await ledger.checkpoint("failed")
        await ledger.checkpoint("running")
        for name, kind in (("completed", EventKind.COMPLETED), ("failed", EventKind.FAILED)):
            await ledger.end(name, kind)
        await ledger.end("retrying", EventKind.RETRY_SCHEDULED, delay_seconds=600.0)
        await ledger.end("first of batch", EventKind.COMPLETED)
        for name in ("stopping", "cancelled"):
            await ledger.canceller.cancel(DEFAULT_TENANT, ledger.ids[name])
        await ledger.end("cancelled", EventKind.CANCELLED)
        await ledger.submit("ready", "parent", **told)
        await ledger.submit("scheduled", delay_seconds=600.0)
        await ledger.submit("expiring", flow=Flow(expires_in_seconds=600.0))
        await ledger.submit("second of key", "third of key", flow=Flow(concurrency_key="k"))
        await ledger.submit("unique", flow=Flow(unique_key="v"))
        await ledger.submit("child", flow=Flow(depends_on=(ledger.ids["parent"], ledger.ids["running"])))
        await ledger.submit("grandchild", flow=Flow(depends_on=(ledger.ids["child"],), despite_failure=True))
        await ledger.draw_consequences()
        yield ledger
