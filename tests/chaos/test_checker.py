"""The checker of chaos runs finds each kind of broken promise, and nothing in a run where all was kept."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.chaos.checker import violations
from tests.chaos.facts import ENDPOINT_EVENTS, Accepted, Facts, Glimpse, Ran, Record, Streamed, Told


def _event(sequence: int, type_: str, second: float, **data: Any) -> dict[str, Any]:
    occurred = f"2026-01-01T00:00:{second:06.3f}Z"
    return {"sequence": sequence, "eventType": type_, "occurredAt": occurred, "data": data}


MIDNIGHT = 1767225600.0


def _job(second: float, nonce: str, **members: Any) -> Record:
    """Job whose first attempt lost its lease, and whose second completed."""
    events: list[Mapping[str, Any]] = [
        _event(0, "JobSubmitted", second),
        _event(1, "JobStarted", second + 0.1, attempt=1),
        _event(2, "JobLeaseExpired", second + 0.5, attempt=1),
        _event(3, "JobStarted", second + 0.6, attempt=2),
        _event(4, "JobCompleted", second + 0.9, attempt=2),
    ]
    view = {"type": "chaos-plain", "status": "completed", "attempt": 2, "maxAttempts": 20, "parameters": {}}
    return Record({**view, "result": {"nonce": nonce}, **members}, events)


@pytest.fixture
def kept() -> Facts:
    """Facts of a run in which all promises were kept."""
    steps = _job(10, "s2", type="chaos-steps", result={"nonce": "s2", "steps": {"first": 7}, "sum": 7})
    steps.events.insert(4, _event(4, "JobStepCompleted", 10.7, step="first", result=7))
    steps.events[-1] = _event(5, "JobCompleted", 10.9)
    then = _job(20, "t2", type="chaos-then", parameters={"of": "batch-key"})
    scheduled = {f"p{n}": _job(30 + 3 * n, f"p{n}2", type="chaos-scheduled") for n in range(3)}
    records = {"a": _job(0, "a2"), "b": _job(1, "b2"), "s": steps, "t": then, **scheduled}
    begins = {"a": 0, "b": 1, "s": 10, "t": 20, "p0": 30, "p1": 33, "p2": 36}
    return Facts(
        accepted=[Accepted("a", "key-a", callback=True, concurrency_key="k"), Accepted("b", "key-b", False, "k")],
        ran=[
            Ran(job_id, "begin", f"{job_id}{attempt}", MIDNIGHT + second + (0.11, 0.61)[attempt - 1])
            for job_id, second in begins.items()
            for attempt in (1, 2)
        ],
        told=[Told("w1", "a", "job.completed", 4, "{}", verified=True)] * 2
        + [
            Told(
                f"{job_id}-{event['sequence']}", job_id, name, event["sequence"], "{}", verified=True, to_endpoint=True
            )
            for job_id, record in records.items()
            for event in record.events
            if (name := ENDPOINT_EVENTS.get(event["eventType"]))
        ],
        streamed=[
            Streamed("all", job_id, event["sequence"], event["eventType"])
            for job_id, record in records.items()
            for event in record.events
        ],
        records=records,
        whole_streams={"all"},
        batches=[{"batchId": "batch", "name": "batch-key"}],
        glimpses=[Glimpse("a", 1, "running"), Glimpse("a", 4, "completed")],
        scheduled=[{"dueAt": f"2026-01-01T00:00:{30 + 3 * n}Z", "jobId": f"p{n}"} for n in range(3)],
    )


def test_a_run_that_kept_all_promises_has_no_violation(kept: Facts) -> None:
    assert violations(kept) == []


def _lost(facts: Facts) -> None:
    del facts.records["a"]


def _never_ended(facts: Facts) -> None:
    del facts.records["a"].events[-1]


def _ended_twice(facts: Facts) -> None:
    facts.records["a"].events.append(_event(5, "JobFailed", 2))


def _gap(facts: Facts) -> None:
    del facts.records["b"].events[2]


def _two_jobs_of_a_key(facts: Facts) -> None:
    facts.accepted.append(Accepted("b", "key-a"))


def _too_many_attempts(facts: Facts) -> None:
    facts.records["a"] = _job(0, "a2", attempt=21)


def _no_token_check(facts: Facts) -> None:
    facts.records["a"] = _job(0, "a1")


def _invented_result(facts: Facts) -> None:
    facts.records["a"] = _job(0, "nobody's")


def _step_twice(facts: Facts) -> None:
    facts.records["s"].events.insert(5, _event(5, "JobStepCompleted", 10.8, step="first", result=7))


def _step_drawn_anew(facts: Facts) -> None:
    facts.records["s"].events[4]["data"]["result"] = 8


def _outbox_skipped(facts: Facts) -> None:
    facts.told.clear()


def _second_webhook(facts: Facts) -> None:
    facts.told.append(Told("w2", "a", "job.completed", 4, "{}", verified=True))


def _endpoint_not_told(facts: Facts) -> None:
    facts.told = [told for told in facts.told if not (told.to_endpoint and told.webhook_id == "b-3")]


def _endpoint_told_nothing(facts: Facts) -> None:
    facts.told = [told for told in facts.told if not told.to_endpoint]


def _endpoint_told_twice(facts: Facts) -> None:
    facts.told.append(Told("w3", "b", "job.started", 3, "{}", verified=True, to_endpoint=True))


def _went_back(facts: Facts) -> None:
    facts.glimpses.append(Glimpse("a", 3, "running"))


def _wrong_sum(facts: Facts) -> None:
    facts.records["s"].view["result"]["sum"] = 8


def _due_time_skipped(facts: Facts) -> None:
    del facts.scheduled[1]
    del facts.records["p1"]


def _due_time_fired_twice(facts: Facts) -> None:
    facts.records["p3"] = _job(39, "p32", type="chaos-scheduled")


def _other_body(facts: Facts) -> None:
    facts.told.append(Told("w1", "a", "job.completed", 4, '{"changed": true}', verified=True))


def _forged(facts: Facts) -> None:
    facts.told.append(Told("w1", "a", "job.completed", 4, "{}", verified=False))


def _tail_by_id(facts: Facts) -> None:
    """A stream that continues after the largest id that it saw misses what commits later."""
    facts.streamed = [frame for frame in facts.streamed if frame.job_id != "a"]


def _notified_before_commit(facts: Facts) -> None:
    """A stream that shows a frame before it is recorded, and reads the ledger in between, misses one."""
    facts.streamed.remove(Streamed("all", "b", 3, "JobStarted"))


def _shown_twice(facts: Facts) -> None:
    facts.streamed.append(Streamed("all", "a", 4, "JobCompleted"))


def _other_order(facts: Facts) -> None:
    facts.whole_streams.add("other")
    facts.streamed += [Streamed("other", "b", 3, "JobStarted"), Streamed("other", "b", 2, "JobRequeued")]


def _lost_batch(facts: Facts) -> None:
    facts.batches = [{"batchId": "batch"}]


def _two_follow_ups(facts: Facts) -> None:
    facts.records["u"] = _job(30, "u2", type="chaos-then", parameters={"of": "batch-key"}, result=None)
    facts.whole_streams.clear()


def _overlap(facts: Facts) -> None:
    facts.records["b"] = _job(0.5, "b2")
    facts.ran.append(Ran("b", "begin", "b2", MIDNIGHT + 2))


def _refused(facts: Facts) -> None:
    facts.refused.append("UNKNOWN_JOB_TYPE")


def _check_found_something(facts: Facts) -> None:
    facts.checked = "job a is in ready and has ended"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (_lost, "job a was accepted and does not exist"),
        (_never_ended, "job a was accepted and has 0 ends"),
        (_ended_twice, "job a was accepted and has 2 ends"),
        (_gap, "events of job b have the sequences [0, 1, 3, 4]"),
        (_two_jobs_of_a_key, "idempotency key key-a has 2 jobs"),
        (_too_many_attempts, "job a had 21 of 20 attempts"),
        (_no_token_check, "job a has the result of an attempt that had lost its lease"),
        (_invented_result, "job a has a result that no handler made"),
        (_step_twice, "step first of job s was recorded 2 times"),
        (_step_drawn_anew, "job s returned {'first': 7}, but its steps were recorded as {'first': 8}"),
        (_outbox_skipped, "the end of job a was delivered under 0 ids"),
        (_second_webhook, "the end of job a was delivered under 2 ids"),
        (_endpoint_not_told, "the endpoint was not sent [3] of job b"),
        (_endpoint_told_nothing, "the endpoint was sent nothing"),
        (_endpoint_told_twice, "the endpoint was sent 3 of job b under 2 ids"),
        (_went_back, "long polls of job a showed the sequences [1, 4, 3]"),
        (_wrong_sum, "job s returned the sum 8 of {'first': 7}"),
        (_due_time_skipped, "the schedule ran at 2026-01-01 00:00:36+00:00, 6 s after the run before"),
        (_due_time_fired_twice, "3 runs of the schedule have 4 jobs"),
        (_other_body, "webhook w1 was sent with 2 bodies"),
        (_forged, "webhook w1 has a wrong signature"),
        (_tail_by_id, "all did not show the end of 1 jobs, such as a"),
        (_notified_before_commit, "all did not show [3] of job b"),
        (_shown_twice, "all showed job a with the sequences [0, 1, 2, 3, 4, 4]"),
        (_other_order, "all and other showed events of job b in the orders [2, 3] and [3, 2]"),
        (_two_follow_ups, "batch batch has 2 follow-up jobs"),
        (_lost_batch, "batch batch was accepted, but does not exist"),
        (_overlap, "jobs a and b ran at the same time with the concurrency key k"),
        (_refused, "a submission was refused: UNKNOWN_JOB_TYPE"),
        (_check_found_something, "duly check: job a is in ready and has ended"),
    ],
)
def test_a_broken_promise_is_found(kept: Facts, harm: Callable[[Facts], None], sentence: str) -> None:
    harm(kept)
    assert sentence in violations(kept)


def test_events_of_overlapping_transactions_may_come_in_their_order_to_all_readers(kept: Facts) -> None:
    shown = [frame for frame in kept.streamed if frame.reader == "all" and frame.job_id == "b"]
    places = [kept.streamed.index(frame) for frame in shown[1:3]]
    kept.streamed[places[0]], kept.streamed[places[1]] = kept.streamed[places[1]], kept.streamed[places[0]]
    assert violations(kept) == []
