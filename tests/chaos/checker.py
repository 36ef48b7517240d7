"""Judges the facts of a chaos run. Each function yields a sentence for each promise that they break."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.chaos.facts import ENDPOINT_EVENTS, SCHEDULE_SECONDS, TERMINAL, Facts, Record, moment

# Events after which a job does not run.
_STOPS = {*TERMINAL, "JobRetryScheduled", "JobLeaseExpired", "JobRequeued", "JobParked", "JobHeld"}
MOST_SHOWN = 20
# Clocks may be corrected during a run. An attempt that loses its lease began seconds before the next one.
CLOCK_SECONDS = 0.25


def violations(facts: Facts) -> list[str]:
    """Returns a sentence for each broken promise."""
    checks = (
        *(_ends, _sequences, _keys, _attempts, _outcomes, _steps, _callbacks, _endpoint, _streams, _glimpses),
        *(_follow_ups, _exclusion, _schedule),
    )
    found = [sentence for check in checks for sentence in check(facts)]
    found += [f"a submission was refused: {answer}" for answer in facts.refused]
    return [*found, *([f"duly check: {facts.checked}"] if facts.checked else [])]


def _ends(facts: Facts) -> Iterator[str]:
    for accepted in facts.accepted:
        record = facts.records.get(accepted.job_id)
        if record is None:
            yield f"job {accepted.job_id} was accepted and does not exist"
        elif len(record.ends) != 1:
            yield f"job {accepted.job_id} was accepted and has {len(record.ends)} ends"
        elif record.view["status"] != TERMINAL[record.ends[0]["eventType"]]:
            yield f"job {accepted.job_id} shows {record.view['status']} after {record.ends[0]['eventType']}"


def _sequences(facts: Facts) -> Iterator[str]:
    for job_id, record in facts.records.items():
        numbers = [event["sequence"] for event in record.events]
        if numbers != list(range(len(numbers))):
            yield f"events of job {job_id} have the sequences {numbers}"
        if record.ends and record.events[-1] is not record.ends[0]:
            yield f"job {job_id} has events after its end"


def _keys(facts: Facts) -> Iterator[str]:
    by_key = defaultdict(set)
    for accepted in facts.accepted:
        by_key[accepted.idempotency_key].add(accepted.job_id)
    for key, jobs in by_key.items():
        if len(jobs) > 1:
            yield f"idempotency key {key} has {len(jobs)} jobs"


def _attempts(facts: Facts) -> Iterator[str]:
    for job_id, record in facts.records.items():
        if record.view["attempt"] > record.view["maxAttempts"]:
            yield f"job {job_id} had {record.view['attempt']} of {record.view['maxAttempts']} attempts"


def _outcomes(facts: Facts) -> Iterator[str]:
    """The recorded result is that of the attempt that held the lease, whose handler was called after its start."""
    called = {(ran.job_id, ran.nonce): ran.at for ran in facts.ran if ran.word == "begin"}
    for job_id, record in facts.records.items():
        result = record.view.get("result")
        if not isinstance(result, dict) or "nonce" not in result:
            continue
        last_start = max(moment(event) for event in record.events if event["eventType"] == "JobStarted")
        began = called.get((job_id, result["nonce"]))
        if began is None:
            yield f"job {job_id} has a result that no handler made"
        elif began < last_start.timestamp() - CLOCK_SECONDS:
            yield f"job {job_id} has the result of an attempt that had lost its lease"


def _steps(facts: Facts) -> Iterator[str]:
    for job_id, record in facts.records.items():
        steps = [event["data"] for event in record.events if event["eventType"] == "JobStepCompleted"]
        for name, times in Counter(step["step"] for step in steps).items():
            if times > 1:
                yield f"step {name} of job {job_id} was recorded {times} times"
        recorded = {step["step"]: step["result"] for step in steps}
        if record.view["status"] == "completed" and record.view["type"] == "chaos-steps":
            returned = record.view["result"]["steps"]
            if returned != recorded:
                yield f"job {job_id} returned {returned}, but its steps were recorded as {recorded}"
            if record.view["result"]["sum"] != sum(recorded.values()):
                yield f"job {job_id} returned the sum {record.view['result']['sum']} of {recorded}"


def _callbacks(facts: Facts) -> Iterator[str]:
    bodies: dict[str, set[str]] = defaultdict(set)
    ends: dict[str, set[str]] = defaultdict(set)
    for told in facts.told:
        bodies[told.webhook_id].add(told.body)
        if not told.verified:
            yield f"webhook {told.webhook_id} has a wrong signature"
        if not told.to_endpoint and told.event in {"job.completed", "job.failed", "job.cancelled"}:
            ends[told.job_id].add(told.webhook_id)
    yield from (f"webhook {each} was sent with {len(texts)} bodies" for each, texts in bodies.items() if len(texts) > 1)
    for job_id in {accepted.job_id for accepted in facts.accepted if accepted.callback}:
        if len(ends[job_id]) != 1:
            yield f"the end of job {job_id} was delivered under {len(ends[job_id])} ids"


def _endpoint(facts: Facts) -> Iterator[str]:
    """The endpoint for all jobs was sent each of their events, under one id each, and the end after the others."""
    if not any(told.to_endpoint for told in facts.told):
        yield from (["the endpoint was sent nothing"] if facts.records else [])
        return
    sent: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for told in facts.told:
        if told.to_endpoint:
            sent[told.job_id][told.sequence].add(told.webhook_id)
    for job_id, record in facts.records.items():
        expected = [event["sequence"] for event in record.events if event["eventType"] in ENDPOINT_EVENTS]
        if missing := [sequence for sequence in expected if sequence not in sent[job_id]]:
            yield f"the endpoint was not sent {missing} of job {job_id}"
        for sequence, ids in sent[job_id].items():
            if len(ids) > 1:
                yield f"the endpoint was sent {sequence} of job {job_id} under {len(ids)} ids"


def _glimpses(facts: Facts) -> Iterator[str]:
    """A job that is read from one node after another never goes back."""
    seen: dict[str, list[int]] = defaultdict(list)
    for glimpse in facts.glimpses:
        seen[glimpse.job_id].append(glimpse.sequence)
    for job_id, numbers in seen.items():
        if any(after <= before for before, after in pairwise(numbers)):
            yield f"long polls of job {job_id} showed the sequences {numbers}"


def _streams(facts: Facts) -> Iterator[str]:
    seen: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for frame in facts.streamed:
        seen[frame.reader][frame.job_id].append(frame.sequence)
    ends = {job_id: record.ends[0]["sequence"] for job_id, record in facts.records.items() if len(record.ends) == 1}
    for reader, jobs in seen.items():
        for job_id, numbers in jobs.items():
            # Events that overlapping transactions wrote are in the order of the transactions in streams of all jobs.
            ordered = sorted(numbers) if reader in facts.whole_streams else numbers
            if any(after <= before for before, after in pairwise(ordered)):
                yield f"{reader} showed job {job_id} with the sequences {numbers}"
            shown = facts.records[job_id].events if job_id in facts.records else []
            if missing := _missing(numbers, shown):
                yield f"{reader} did not show {missing} of job {job_id}"
    for reader in facts.whole_streams:
        missed = [job_id for job_id, end in ends.items() if end not in seen[reader][job_id]]
        if missed:
            yield f"{reader} did not show the end of {len(missed)} jobs, such as {missed[0]}"
    yield from _orders({reader: seen[reader] for reader in sorted(facts.whole_streams)})


def _orders(streams: dict[str, dict[str, list[int]]]) -> Iterator[str]:
    """The order of the stream of all jobs is the same for every reader."""
    for (reader, jobs), (other, others) in pairwise(streams.items()):
        for job_id in jobs.keys() & others.keys():
            both = set(jobs[job_id]) & set(others[job_id])
            orders = [[number for number in numbers if number in both] for numbers in (jobs[job_id], others[job_id])]
            if orders[0] != orders[1]:
                yield f"{reader} and {other} showed events of job {job_id} in the orders {orders[0]} and {orders[1]}"


def _missing(numbers: list[int], events: list[Any]) -> list[int]:
    """Returns the sequences between the first and the last frame that were not shown."""
    expected = [event["sequence"] for event in events]
    return [number for number in expected if min(numbers) <= number <= max(numbers) and number not in numbers]


def _follow_ups(facts: Facts) -> Iterator[str]:
    """Each accepted batch exists, and its follow-up job once; the parameters of that name the batch."""
    follow_ups = Counter(
        record.view["parameters"]["of"] for record in facts.records.values() if record.view["type"] == "chaos-then"
    )
    for batch in facts.batches:
        if "name" not in batch:
            yield f"batch {batch['batchId']} was accepted, but does not exist"
        elif (times := follow_ups[batch["name"]]) != 1:
            yield f"batch {batch['batchId']} has {times} follow-up jobs"


def _schedule(facts: Facts) -> Iterator[str]:
    """Each due time has one job, and none was skipped: the schedule catches up."""
    times = sorted(datetime.fromisoformat(run["dueAt"]) for run in facts.scheduled)
    for before, after in pairwise(times):
        if (gap := (after - before).total_seconds()) != SCHEDULE_SECONDS:
            yield f"the schedule ran at {after}, {gap:g} s after the run before"
    jobs = Counter(run["jobId"] for run in facts.scheduled)
    made = {job_id for job_id, record in facts.records.items() if record.view["type"] == "chaos-scheduled"}
    if made != set(jobs) or any(times > 1 for times in jobs.values()):
        yield f"{len(facts.scheduled)} runs of the schedule have {len(made)} jobs"


def _exclusion(facts: Facts) -> Iterator[str]:
    """Attempts with one concurrency key hold their leases one after another."""
    held: dict[str, list[tuple[Any, Any, str]]] = defaultdict(list)
    for accepted in set(facts.accepted):
        record = facts.records.get(accepted.job_id)
        if accepted.concurrency_key and record is not None:
            held[accepted.concurrency_key].extend((*span, accepted.job_id) for span in _spans(record))
    for key, spans in held.items():
        for (_, end, one), (start, _, other) in pairwise(sorted(spans)):
            if start < end:
                yield f"jobs {one} and {other} ran at the same time with the concurrency key {key}"


def _spans(record: Record) -> Iterator[tuple[Any, Any]]:
    started = None
    for event in record.events:
        if event["eventType"] == "JobStarted":
            started = moment(event)
        elif event["eventType"] in _STOPS and started is not None:
            yield started, moment(event)
            started = None


def shown(sentences: list[str]) -> str:
    """Returns violations as lines, not too many."""
    more = len(sentences) - MOST_SHOWN
    return "\n".join([*sentences[:MOST_SHOWN], *([f"… and {more} more"] if more > 0 else [])])
