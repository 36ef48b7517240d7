"""State machine of jobs with steps, waits, signals, holds and compensations, among all other verbs of a job's life."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from duly.domain.audit import Actor
from duly.domain.events import EventKind
from duly.domain.job import DEFAULT_TENANT, Finish, Flow
from duly.domain.outcome import AttemptFacts, Compensated, Failed, WorkerLost, decide
from duly.domain.retry import DEFAULT_RETRY
from duly.domain.steps import StepKind, Wait
from duly.errors import JobAlreadyEnded, NotRetryable, SignalAlreadySent, StepUnknown
from duly.lifecycle.end.retry import redrive
from duly.store.ledger.compensation import CompensatedStep, record_compensated_if_held
from duly.store.ledger.steps import StepRecord, record_steps_if_held
from duly.store.postgres.database import RecordRefused
from tests.property.test_state_machine import LANES, Ledger, Life, new_job
from tests.support.fuzzing import fuzz_settings

ACTOR = Actor("test")
NAMES = st.sampled_from(["reserve", "charge", "ship"])
LEFT = "select name from steps where job_id = $1 and kind = 1 and compensable and status = 1 order by sequence desc"
LEFT_BEHIND = """
select j.job_id from jobs j cross join lateral (
    select kind, data from events where job_id = j.job_id order by sequence desc limit 1
) e
where e.kind in (11, 12) and coalesce(e.data ->> 'code', '') <> 'COMPENSATION_FAILED'
  and exists (select from steps s where s.job_id = j.job_id and s.kind = 1 and s.compensable and s.status = 1)
"""
UNDONE_TWICE = """
select job_id, data ->> 'step' from events where kind in (7, -3) group by 1, 2
having count(*) filter (where kind = -3) > count(*) filter (where kind = 7)
"""
# A job waits for older ones only, and with no key that these may need: no jobs wait for each other.
POSSIBLE_CHILDREN = """
select c.job_id from jobs j, jobs c
where j.job_id = $1 and j.concurrency_key is null and c.job_id = any($2) and c.job_id < $1 and c.depends_on is null
"""


class LifeWithSteps(Life):
    """Attempts record steps, park, and compensate; jobs are signalled, held, and retried from a step."""

    @rule(target=Life.jobs, holds=st.booleans(), key=st.sampled_from([None, "a"]))
    def submit_with_hold(self, holds: bool, key: str | None) -> UUID:
        flow = Flow(holds=holds, concurrency_key=key)
        return self.ledger.run(self.ledger.submit([new_job(LANES[0], flow=flow)]))[0]

    @rule(names=st.sets(NAMES, min_size=1), compensable=st.sampled_from([True, True, False]))
    def step(self, names: set[str], compensable: bool) -> None:
        """Records steps of all that may run, each by a statement of its own."""
        self.ledger.run(self.ledger.claim(self.nodes[-1], 100))
        for job_id, token in self.running():
            for name in names:
                data = json.dumps({"step": name, "compensation": compensable or None, "result": 1})
                try:
                    self.ledger.run(self.record(StepRecord(job_id, token, name, data, compensable)))
                except RecordRefused:
                    assert self.ledger.sql("select from steps where job_id = $1 and name = $2", job_id, name)

    async def record(self, step: StepRecord) -> None:
        async with self.ledger.database.connection() as connection:
            assert await record_steps_if_held(connection, [step], source="worker:test") == [True]

    def running(self, *, compensating: bool = False) -> list[tuple[UUID, int]]:
        """Returns the attempts that run, as (job, token): those that compensate, or the others."""
        rows = self.ledger.sql("select job_id, token from running where (marks & 1024 <> 0) = $1", compensating)
        return [(row[0], row[1]) for row in rows]

    @rule(signal=st.booleans())
    def park(self, signal: bool) -> None:
        wait = Wait(StepKind.SIGNAL, "go", 600.0) if signal else Wait(StepKind.TIMER, "sleep-1", 600.0)
        ends = [
            Finish(job_id, token, EventKind.PARKED, charged=False, waits=(wait,)) for job_id, token in self.running()
        ]
        self.ledger.run(self.ledger.finisher.record(ends[:1]))

    @rule(children=st.lists(Life.jobs, min_size=1, max_size=3, unique=True))
    def park_for_children(self, children: list[UUID]) -> None:
        for job_id, token in self.running():
            if found := tuple(row[0] for row in self.ledger.sql(POSSIBLE_CHILDREN, job_id, children)):
                end = Finish(job_id, token, EventKind.PARKED, charged=False, children=found)
                assert len(self.ledger.run(self.ledger.finisher.record([end]))) == 1

    @rule(job=Life.jobs, body=st.sampled_from(["1", "2"]))
    def signal(self, job: UUID, body: str) -> None:
        ended = self.has_ended(job)
        try:
            self.ledger.run(self.ledger.signals.send(DEFAULT_TENANT, job, "go", body, by=ACTOR, source="api"))
        except JobAlreadyEnded:
            assert ended
        except SignalAlreadySent:
            pass

    @rule(how=st.sampled_from(["fail", "fail", "exhaust", "lose"]))
    def give_up(self, how: str) -> None:
        """Ends the last attempts of jobs as the service would: they fail, are held, or begin to compensate."""
        outcome = WorkerLost() if how == "lose" else Failed("X", "no", "no", retryable=how == "exhaust")
        for row in self.ledger.sql("select job_id, token, marks from running"):
            facts = AttemptFacts(row[0], row[1], 9, 3, crashes=9, marks=row[2])
            end = decide(outcome, facts, policy=DEFAULT_RETRY, random=lambda: 0.5)
            assert len(self.ledger.run(self.ledger.finisher.record([end]))) == 1

    @rule(target=Life.jobs, names=st.sets(NAMES, min_size=1))
    def fail_after_steps(self, names: set[str]) -> Any:
        """Submits a job and lets it begin to compensate, which random rules seldom do."""
        job = self.submit_with_hold(holds=False, key=None)
        self.step(names=names, compensable=True)
        self.give_up(how="fail")
        return job

    @rule(steps=st.sampled_from([1, 1, 3, 0]))
    def compensate(self, steps: int) -> None:
        """Undoes some steps of each attempt that compensates; after the last one, the job ends."""
        self.ledger.run(self.ledger.claim(self.nodes[-1], 100))
        for job_id, token in self.running(compensating=True):
            names = [row[0] for row in self.ledger.sql(LEFT, job_id)]
            for name in names[:steps]:
                self.ledger.run(self.undo(CompensatedStep(job_id, token, name, json.dumps({"step": name}))))
            if steps >= len(names):
                facts = AttemptFacts(job_id, token, 1, 3)
                end = decide(Compensated(), facts, policy=DEFAULT_RETRY, random=lambda: 0.5)
                [recorded] = self.ledger.run(self.ledger.finisher.record([end]))
                assert recorded.kind in {EventKind.FAILED, EventKind.CANCELLED}

    async def undo(self, step: CompensatedStep) -> None:
        async with self.ledger.database.connection() as connection:
            for _ in range(2):  # a lost response
                assert await record_compensated_if_held(connection, [step], source="worker:test")

    @rule(job=Life.jobs, name=NAMES)
    def retry_from(self, job: UUID, name: str) -> None:
        keys = [(DEFAULT_TENANT, job)]
        try:
            self.ledger.run(redrive(self.ledger.database, self.ledger.wakeups, keys, from_step=name))
        except (NotRetryable, StepUnknown):
            return
        assert job not in self.completed

    @precondition(lambda self: hasattr(self, "nodes"))
    @invariant()
    def each_step_is_undone_once(self) -> None:
        assert self.ledger.sql(LEFT_BEHIND) == []
        assert self.ledger.sql(UNDONE_TWICE) == []

    def settle(self) -> None:
        for row in self.ledger.sql("select job_id from scheduled where reason = 6"):
            self.ledger.run(self.ledger.canceller.cancel(DEFAULT_TENANT, row[0]))


@pytest.fixture
def ledger(database_url: str) -> Any:
    made = Ledger(database_url)
    yield made
    made.close()


@pytest.mark.timeout(1_200)  # some thousand statements, one after another
@pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
def test_every_promise_holds_with_steps_waits_holds_and_compensations(ledger: Ledger) -> None:
    class Story(LifeWithSteps):
        pass

    Story.ledger = ledger
    run_state_machine_as_test(Story, settings=fuzz_settings(25, stateful_step_count=25))
