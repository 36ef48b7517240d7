"""State machine of a job on a real database: all invariants hold after each step, in any order of steps.

Jobs are submitted, claimed, finished, cancelled, retried and expire; their nodes die and are swept.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.domain.ids import SMALLEST, new_job_id
from duly.domain.job import DEFAULT_TENANT, ClaimedJob, Finish, Flow, Lane, NewBatch, NewJob
from duly.domain.job_template import template
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy
from duly.domain.tenant import MOST_QUEUES
from duly.errors import JobAlreadyEnded
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.end.follow_ups import FollowUps
from duly.lifecycle.end.retry import redrive
from duly.lifecycle.maintenance.sweep import Sweeper
from duly.lifecycle.signals.send import SignalSender
from duly.lifecycle.submit.insert import insert_jobs
from duly.lifecycle.submit.queue_limit import QueueLimit
from duly.store.postgres.database import Database
from duly.store.queue.flow_control import read_version
from duly.store.queue.nodes import NodeRecord, register
from duly.store.queue.ready import LaneStart, claim_ready
from duly.store.submit.batches import record_batch
from duly.telemetry.metrics import Metrics
from tests.support.fuzzing import fuzz_settings
from tests.support.invariants import violations_on

Value = TypeVar("Value")

LANES = [Lane(1, queue, "echo", priority) for queue in ("default", "other") for priority in (0, 5)]
TABLES = (
    "jobs, events, ready, scheduled, blocked, running, dependencies, concurrency, unique_keys, endings, batches, "
    "batch_tallies, deliveries, checkpoints, nodes, queues, idempotency, steps, signals"
)


async def default_policy(_tenant_id: int, _type: str) -> RetryPolicy:
    return DEFAULT_RETRY


TERMINAL = ("completed", "failed", "cancelled")
TWO_OF_A_KEY = """
select j.concurrency_key from running n join jobs j on j.job_id = n.job_id
where j.concurrency_key is not null group by 1 having count(*) > 1
"""
KEY_NOT_HELD = """
select w.job_id from (
    select job_id from ready union all select job_id from running
    union all select job_id from scheduled where reason = 1
) w join jobs j on j.job_id = w.job_id
where j.concurrency_key is not null
  and not exists (select from concurrency c where c.job_id = w.job_id and c.key = j.concurrency_key)
"""
TWO_UNIQUE = """
select j.unique_key from jobs j
where j.unique_key is not null
  and not exists (select from events e where e.job_id = j.job_id and e.kind >= 10
                  and e.sequence = (select max(sequence) from events x where x.job_id = j.job_id))
group by 1 having count(*) > 1
"""
TOO_EARLY = """
select n.job_id from running n join jobs j on j.job_id = n.job_id, unnest(j.depends_on) as p (job_id)
where j.despite_failure is not true
  and not exists (select from events e where e.job_id = p.job_id and e.kind = 10)
"""
THEN_TWICE = "select correlation_id from jobs where correlation_id like 'then-%' group by 1 having count(*) > 1"
THEN_EARLY = (
    "select batch_id from batches where then_job_id is null and completed_at is not null and then_job is not null"
)
BROKEN = " union all ".join(
    f"(select '{name}', b::text from ({statement}) b)"  # noqa: S608  # statements of our own
    for name, statement in {
        "two of a key run": TWO_OF_A_KEY,
        "its key is not held": KEY_NOT_HELD,
        "two of a unique key": TWO_UNIQUE,
        "ran before what it depends on": TOO_EARLY,
        "a batch was followed twice": THEN_TWICE,
        "a batch was not followed": THEN_EARLY,
    }.items()
)
UNFINISHED = """
select j.job_id from jobs j left join lateral (
    select kind from events e where e.job_id = j.job_id order by sequence desc limit 1
) e on true
where coalesce(e.kind, 0) < 10
"""


COMPENSATES = """
select from (select job_id, marks from ready union all select job_id, marks from scheduled
             union all select job_id, marks from blocked union all select job_id, marks from running) w
where job_id = $1 and marks & 1024 <> 0
"""


class Ledger:
    """The verbs of the service on one database, one after the other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._runner = asyncio.Runner()
        self._looking: Any = None
        self.database = Database(url)
        signals, metrics = Wakeups(), Metrics()
        self.wakeups = signals
        self.finisher = Finisher(self.database, signals, metrics, source="worker:test")
        self.sweeper = Sweeper(self.database, signals, metrics, self.finisher, policy_of=default_policy)
        self.follow_ups = FollowUps(
            self.database,
            signals,
            metrics,
            queue_limit=QueueLimit(self.database, most=MOST_QUEUES),
            clock=DatabaseClock(),
        )
        self.canceller = Canceller(self.database, signals, metrics)
        self.signals = SignalSender(self.database, signals, metrics)

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self._runner.run(work)

    def sql(self, statement: str, *arguments: Any) -> list[Any]:
        async def fetch() -> list[Any]:
            async with self.database.connection() as connection:
                rows: list[Any] = await connection.fetch(statement, *arguments)
                return rows

        return self.run(fetch())

    def violations(self) -> list[str]:
        """Every broken promise, seen through a connection that is kept: this is asked after each step."""

        async def look() -> list[str]:
            if self._looking is None:
                self._looking = await asyncpg.connect(self.url)
            return await violations_on(self._looking)

        return self.run(look())

    def close(self) -> None:
        if self._looking is not None:
            self.run(self._looking.close())
        self.run(self.database.close())
        self._runner.close()

    async def submit(self, jobs: list[NewJob], batch: NewBatch | None = None) -> list[UUID]:
        async with self.database.connection() as connection, connection.transaction():
            answers = await insert_jobs(connection, jobs)
            accepted = [answer for answer in answers if not isinstance(answer, Exception)]
            assert len(accepted) == len(jobs)
            if batch is not None:
                await record_batch(connection, batch, jobs, total=sum(not answer.deduplicated for answer in accepted))
        return [answer.job_id for answer in accepted]

    async def join(self) -> UUID:
        node = NodeRecord(uuid4(), "node", "0", ["worker"], ["echo"])
        async with self.database.connection() as connection:
            await register(connection, node)
        return node.node_id

    async def claim(self, node_id: UUID, limit: int) -> list[ClaimedJob]:
        async with self.database.connection() as connection:
            version = await read_version(connection)
            lanes = [LaneStart(lane, SMALLEST) for lane in LANES]
            return await claim_ready(
                connection, lanes, limit=limit, node_id=node_id, source="worker:test", version=version
            )


def new_job(lane: Lane, **members: Any) -> NewJob:
    return NewJob(DEFAULT_TENANT, new_job_id(), lane.type, lane.queue, lane.priority, "{}", 60.0, 3, **members)


KEYS = st.sampled_from([None, "a", "a", "b"])


class Life(RuleBasedStateMachine):
    """`attempts` are all that were ever claimed: an outcome may come late, twice, or after its lease was lost."""

    ledger: Ledger
    jobs = Bundle("jobs")
    attempts = Bundle("attempts")

    @initialize()
    def begin(self) -> None:
        self.ledger.sql(f"truncate {TABLES}")
        self.nodes = [self.ledger.run(self.ledger.join())]
        self.completed: set[UUID] = set()

    @rule(target=jobs, lane=st.sampled_from(LANES), later=st.booleans())
    def submit(self, lane: Lane, later: bool) -> UUID:
        return self.ledger.run(self.ledger.submit([new_job(lane, delay_seconds=600.0 if later else None)]))[0]

    @rule(
        target=jobs,
        lane=st.sampled_from(LANES),
        unique=KEYS,
        concurrency=KEYS,
        expires=st.sampled_from([None, 600.0]),
        later=st.booleans(),
    )
    def submit_tied(
        self, lane: Lane, unique: str | None, concurrency: str | None, expires: float | None, later: bool
    ) -> UUID:
        flow = Flow(expires_in_seconds=expires, unique_key=unique, concurrency_key=concurrency)
        delay = 600.0 if later else None
        return self.ledger.run(self.ledger.submit([new_job(lane, delay_seconds=delay, flow=flow)]))[0]

    @rule(
        target=jobs,
        parents=st.lists(jobs, min_size=1, max_size=3, unique=True),
        concurrency=KEYS,
        despite=st.booleans(),
    )
    def submit_dependent(self, parents: list[UUID], concurrency: str | None, despite: bool) -> UUID:
        flow = Flow(depends_on=tuple(parents), concurrency_key=concurrency, despite_failure=despite)
        return self.ledger.run(self.ledger.submit([new_job(LANES[0], flow=flow)]))[0]

    @rule(target=jobs, size=st.integers(1, 3), unique=KEYS)
    def submit_batch(self, size: int, unique: str | None) -> Any:
        batch_id = new_job_id()
        flow = Flow(unique_key=unique) if unique else None
        jobs = [new_job(LANES[0], batch_id=batch_id, flow=flow) for _ in range(size)]
        follower = new_job(LANES[1], correlation_id=f"then-{batch_id}")
        batch = NewBatch(DEFAULT_TENANT, batch_id, None, template(follower))
        return multiple(*self.ledger.run(self.ledger.submit(jobs, batch)))

    @rule(target=attempts, limit=st.integers(1, 4))
    def claim(self, limit: int) -> Any:
        return multiple(*self.ledger.run(self.ledger.claim(self.nodes[-1], limit)))

    @rule(attempt=attempts, how=st.sampled_from(["complete", "fail", "retry", "retry now", "interrupt"]))
    def finish(self, attempt: ClaimedJob, how: str) -> None:
        end = {
            "complete": Finish(attempt.job_id, attempt.token, EventKind.COMPLETED, "1"),
            "fail": Finish(attempt.job_id, attempt.token, EventKind.FAILED, "{}"),
            "retry": Finish(attempt.job_id, attempt.token, EventKind.RETRY_SCHEDULED, "{}", 600.0),
            "retry now": Finish(attempt.job_id, attempt.token, EventKind.RETRY_SCHEDULED, "{}"),
            "interrupt": Finish(attempt.job_id, attempt.token, EventKind.REQUEUED, "{}", charged=False),
        }[how]
        holds = self.ledger.sql("select from running where job_id = $1 and token = $2", attempt.job_id, attempt.token)
        recorded = self.ledger.run(self.ledger.finisher.record([end]))
        assert len(recorded) == len(holds)
        if recorded and recorded[0].kind is EventKind.COMPLETED:
            assert attempt.job_id not in self.completed
            self.completed.add(attempt.job_id)

    @rule(how=st.sampled_from(["complete", "fail", "retry"]))
    def finish_what_runs(self, how: str) -> None:
        for row in self.ledger.sql("select job_id, token from running"):
            kind = {"complete": EventKind.COMPLETED, "fail": EventKind.FAILED}.get(how, EventKind.RETRY_SCHEDULED)
            [recorded] = self.ledger.run(self.ledger.finisher.record([Finish(row[0], row[1], kind, "{}", 600.0)]))
            if recorded.kind is EventKind.COMPLETED:
                self.completed.add(recorded.job_id)

    @rule(job=jobs)
    def cancel(self, job: UUID) -> None:
        ended = self.has_ended(job)
        try:
            self.ledger.run(self.ledger.canceller.cancel(DEFAULT_TENANT, job))
        except JobAlreadyEnded:
            assert ended or self.compensates(job)
        else:
            assert not ended

    @rule(chosen=st.lists(jobs, min_size=1, max_size=3, unique=True))
    def retry(self, chosen: list[UUID]) -> None:
        keys = [(DEFAULT_TENANT, job) for job in chosen]
        if not keys:
            return
        redriven = self.ledger.run(redrive(self.ledger.database, self.ledger.wakeups, keys))
        assert not self.completed & set(redriven.job_ids)

    @rule()
    def retry_all_that_failed(self) -> None:
        self.retry([row[0] for row in self.ledger.sql("select distinct job_id from events where kind = 11")])

    @rule()
    def time_passes(self) -> None:
        """Makes scheduled jobs due, and then ready."""
        self.ledger.sql("update scheduled set run_at = now() where reason <> 6")
        self.ledger.run(self.ledger.sweeper.release())

    @rule()
    def expire(self) -> None:
        for table in ("ready", "scheduled", "blocked"):
            self.ledger.sql(f"update {table} set expires_at = now() where expires_at is not null")  # noqa: S608  # names of our own
        self.ledger.run(self.ledger.sweeper.expire())

    @rule()
    def crash(self) -> None:
        """The node dies with all that it runs; another takes its place, and sweeps."""
        dead = self.nodes[-1]
        self.nodes.append(self.ledger.run(self.ledger.join()))
        self.ledger.sql("update nodes set heartbeat_at = now() - interval '1 hour' where node_id = $1", dead)
        self.ledger.run(self.ledger.sweeper.repair(self.nodes[-1], lease_seconds=15))

    @rule()
    def overrun(self) -> None:
        """Moves running jobs past their deadline, or past the time allowed after a cancel request."""
        self.ledger.sql(
            "update running set deadline = now() - interval '1 hour', "
            "cancel_requested_at = cancel_requested_at - interval '1 hour'"
        )
        self.ledger.run(self.ledger.sweeper.repair(self.nodes[-1], lease_seconds=3600))

    @rule()
    def draw_consequences(self) -> None:
        self.ledger.run(self.ledger.follow_ups.step())

    @precondition(lambda self: hasattr(self, "nodes"))
    @invariant()
    def every_promise_holds(self) -> None:
        assert self.ledger.violations() == []
        assert self.ledger.sql(BROKEN) == []
        if self.completed:
            shown = self.ledger.sql(
                "select job_id from events where kind = 10 and job_id = any($1::uuid[])", list(self.completed)
            )
            assert {row[0] for row in shown} == self.completed

    def compensates(self, job: UUID) -> bool:
        """Returns whether the steps of the job are being compensated: its end is decided."""
        return self.ledger.sql(COMPENSATES, job) != []

    def settle(self) -> None:
        """Ends what would wait for a person, at the end of a story."""

    def draw_all_consequences(self) -> None:
        for _ in range(100):
            if self.ledger.run(self.ledger.follow_ups.step()) != 0:
                return
        raise AssertionError("consequences of ended jobs are drawn without end")

    def has_ended(self, job: UUID) -> bool:
        return self.ledger.sql(f"select from ({UNFINISHED}) u where u.job_id = $1", job) == []

    def teardown(self) -> None:
        """Checks that all jobs end without further steps."""
        if not hasattr(self, "nodes"):
            return
        for _ in range(60):
            if self.ledger.sql(UNFINISHED) == [] and self.ledger.sql("select from batch_tallies") == []:
                break
            self.draw_all_consequences()
            self.settle()
            self.crash()
            self.time_passes()
            for attempt in self.ledger.run(self.ledger.claim(self.nodes[-1], 100)):
                self.finish(attempt, "complete")
        assert self.ledger.sql(UNFINISHED) == []
        self.draw_all_consequences()
        self.every_promise_holds()
        for table in (
            "ready",
            "scheduled",
            "blocked",
            "running",
            "dependencies",
            "concurrency",
            "unique_keys",
            "endings",
        ):
            assert self.ledger.sql(f"select from {table}") == [], table
        assert self.ledger.sql("select from batches where completed_at is null or then_job_id is null") == []


@pytest.fixture
def ledger(database_url: str) -> Any:
    made = Ledger(database_url)
    yield made
    made.close()


@pytest.mark.timeout(1_200)  # some thousand statements, one after another
@pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
def test_every_promise_holds_after_each_step_of_any_story(ledger: Ledger) -> None:
    class Story(Life):
        pass

    Story.ledger = ledger
    run_state_machine_as_test(Story, settings=fuzz_settings(12, stateful_step_count=25))


def test_the_promises_that_are_checked_can_be_broken(ledger: Ledger) -> None:
    """The checks of this module see what they are there to see."""

    async def break_them() -> None:
        node = await ledger.join()
        jobs = [new_job(LANES[0], flow=Flow(concurrency_key="k", unique_key=f"u{n}")) for n in range(2)]
        await ledger.submit(jobs)
        await ledger.claim(node, 1)
        connection = await asyncpg.connect(ledger.url)
        await connection.execute("update jobs set unique_key = 'same'")
        await connection.execute(
            "insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, "
            "attempt, crashes, callback_events, queue, type) "
            "select tenant_id, job_id, $1, now(), 1, 1, 60, 0, 1, 0, 0, queue, type from blocked",
            node,
        )
        await connection.close()

    ledger.run(break_them())
    assert ledger.sql(TWO_OF_A_KEY) != []
    assert ledger.sql(TWO_UNIQUE) != []
    assert ledger.violations() != []
    ledger.sql(f"truncate {TABLES}")
