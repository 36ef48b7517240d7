"""Explanation of a job's state: its cause as a code, one sentence, and the same as data."""

from datetime import datetime

from duly.domain.events import Status
from duly.domain.explanation_facts import (
    Cause,
    Explanation,
    ExplanationFacts,
    OpenBreaker,
    SetAsideRecord,
    StartLimit,
)
from duly.domain.timestamps import rfc3339


def explain(facts: ExplanationFacts) -> Explanation:
    """Returns the first cause that applies, in the order in which they take effect."""
    if facts.refused is not None:
        return _refused(facts.refused)
    match facts.status:
        case Status.PENDING:
            return _pending(facts)
        case Status.RUNNING:
            return _compensating(facts) if facts.compensating else _running(facts)
        case _:
            return _ended(facts)


def explain_in_inbox(queue: str, since: datetime) -> Explanation:
    """Returns the explanation of a submission that a transaction of the client's made, and that is not recorded yet."""
    message = (
        f"It was submitted in a transaction at {_time(since)} and is about to be recorded, at the latest when the "
        f'submission limits of queue "{queue}" admit it.'
    )
    return Explanation(Cause.INBOX, message, {"queue": queue, "submittedAt": _time(since)})


def without_payload(explanation: Explanation) -> Explanation:
    """Returns the explanation for readers who may not see payloads: words of the database may quote one."""
    if explanation.cause is not Cause.SET_ASIDE:
        return explanation
    message = "The database rejects a record of this job; retries continue."
    return Explanation(explanation.cause, message, explanation.data | {"reason": None})


def _refused(refused: SetAsideRecord) -> Explanation:
    message = (
        f"The database rejects its {refused.what}: {refused.reason}. Tried {_count(refused.tries, 'time')} since "
        f"{_time(refused.since)}; retries continue."
    )
    data: dict[str, object] = {
        "what": refused.what,
        "reason": refused.reason,
        "since": _time(refused.since),
        "tries": refused.tries,
    }
    return Explanation(Cause.SET_ASIDE, message, data)


def _pending(facts: ExplanationFacts) -> Explanation:  # noqa: PLR0911  # a table, one return a cause
    if facts.expires_at is not None and facts.attempt == 0 and facts.expires_at <= facts.now:
        return Explanation(
            Cause.EXPIRED,
            f"It expired at {rfc3339(facts.expires_at)} and is about to end as EXPIRED.",
            {"expiresAt": rfc3339(facts.expires_at)},
        )
    match facts.waiting_for:
        case "dependencies":
            return _dependencies(facts)
        case "concurrency":
            return _key(facts)
        case "time" | "retry" | "timer":
            return _later(facts)
        case "signal":
            return _signal(facts)
        case "held":
            return _held(facts)
        case _:
            return _ready(facts)


def _ended(facts: ExplanationFacts) -> Explanation:
    ended = rfc3339(facts.completed_at) if facts.completed_at else ""
    why = f" with {facts.error_code}" if facts.error_code and facts.status is Status.FAILED else ""
    return Explanation(
        Cause.ENDED,
        f"The job {_PAST[facts.status]} at {ended}{why}.",
        {"endedAt": ended, "errorCode": facts.error_code},
    )


_PAST = {Status.COMPLETED: "was completed", Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}


def _running(facts: ExplanationFacts) -> Explanation:
    data: dict[str, object] = {
        "node": facts.node,
        "startedAt": _time(facts.started_at),
        "deadline": _time(facts.deadline),
        "cancelRequestedAt": _time(facts.cancel_requested_at),
    }
    if facts.lease_expires_at is not None:
        data |= {"workerName": facts.worker_name, "leaseExpiresAt": _time(facts.lease_expires_at)}
    since = f"{_time(facts.started_at)}{_where(facts)}"
    attempt = f"Attempt {facts.attempt} of {facts.max_attempts} has been running since {since}"
    if facts.cancel_requested_at is not None:
        request = (
            f"cancellation was requested at {_time(facts.cancel_requested_at)}, and the handler has not stopped yet"
        )
        return Explanation(Cause.CANCEL_REQUESTED, f"{attempt}; {request}.", data)
    return Explanation(Cause.RUNNING, f"{attempt}; it times out at {_time(facts.deadline)}.", data)


def _compensating(facts: ExplanationFacts) -> Explanation:
    data: dict[str, object] = {
        "attempt": facts.attempt,
        "node": facts.node,
        "startedAt": _time(facts.started_at) if facts.deadline is not None else None,
        "deadline": _time(facts.deadline),
        "runAt": _time(facts.run_at),
    }
    if facts.deadline is not None:
        how = f"attempt {facts.attempt} of that has been running since {_time(facts.started_at)}{_where(facts)}"
    elif facts.run_at is not None and facts.run_at > facts.now:
        how = f"attempt {facts.attempt} of that failed, and the next one starts at {_time(facts.run_at)}"
    else:
        how = "it waits for a worker" if facts.workers else f'no live worker handles the job type "{facts.type}"'
    message = f"Its completed steps are compensated before it ends: {how}."
    return Explanation(Cause.COMPENSATING, message, data)


def _where(facts: ExplanationFacts) -> str:
    """Returns where an attempt runs."""
    if facts.lease_expires_at is not None:
        worker = f'the worker "{facts.worker_name}"' if facts.worker_name else "a worker"
        return f" on {worker} over HTTP, whose lease expires at {_time(facts.lease_expires_at)}"
    return f" on {facts.node}" if facts.node else " on a node that stopped sending heartbeats; it will be run again"


def _later(facts: ExplanationFacts) -> Explanation:
    data: dict[str, object] = {"runAt": _time(facts.run_at)}
    if facts.waiting_for == "time":
        return Explanation(Cause.SCHEDULED, f"It is scheduled to start at {_time(facts.run_at)}.", data)
    if facts.waiting_for == "timer":
        return Explanation(Cause.TIMER, f"Its handler sleeps until {_time(facts.run_at)}.", data)
    tried = f"Attempt {facts.attempt} of {facts.max_attempts} ended with {facts.error_code or 'an error'}"
    message = f"{tried}; the next one starts at {_time(facts.run_at)}."
    return Explanation(Cause.RETRY, message, data | {"errorCode": facts.error_code})


def _signal(facts: ExplanationFacts) -> Explanation:
    names = " or ".join(f'"{name}"' for name in facts.signals) or "a signal"
    which = f"the signal {names}" if len(facts.signals) == 1 else f"one of the signals {names}"
    until = f", until {_time(facts.run_at)} at the latest" if facts.run_at is not None else ""
    data: dict[str, object] = {"signals": list(facts.signals), "runAt": _time(facts.run_at)}
    return Explanation(Cause.SIGNAL, f"It waits for {which if facts.signals else names}{until}.", data)


def _held(facts: ExplanationFacts) -> Explanation:
    message = (
        f"Its attempts are used up (the last one ended with {facts.error_code or 'an error'}), and it is held: it "
        "continues when it is retried, and ends when it is cancelled."
    )
    return Explanation(Cause.HELD, message, {"errorCode": facts.error_code})


def _dependencies(facts: ExplanationFacts) -> Explanation:
    shown = [{"jobId": str(parent.job_id), "status": parent.status} for parent in facts.parents]
    first = facts.parents[0] if facts.parents else None
    which = f": {first.job_id} is {first.status}" if first else ""
    others = f", and {facts.unmet - 1} more" if facts.unmet > 1 else ""
    message = f"It depends on {_count(facts.unmet, 'job')} that {_verb(facts.unmet)} not ended{which}{others}."
    return Explanation(Cause.DEPENDENCIES, message, {"unmet": facts.unmet, "dependsOn": shown})


def _key(facts: ExplanationFacts) -> Explanation:
    data: dict[str, object] = {
        "concurrencyKey": facts.key,
        "heldBy": str(facts.holder) if facts.holder else None,
        "before": facts.before_in_key,
    }
    held = f"job {facts.holder} holds it" if facts.holder else "it is being passed on"
    waits = "waits" if facts.before_in_key == 1 else "wait"
    before = (
        f", and {_count(facts.before_in_key, 'job')} {waits} for it ahead of this one" if facts.before_in_key else ""
    )
    message = f'Only one job with the concurrency key "{facts.key}" runs at a time: {held}{before}.'
    return Explanation(Cause.CONCURRENCY_KEY, message, data)


def _ready(facts: ExplanationFacts) -> Explanation:
    if facts.paused_at is not None:
        return Explanation(
            Cause.QUEUE_PAUSED,
            f'Queue "{facts.queue}" has been paused since {_time(facts.paused_at)}.',
            {"queue": facts.queue, "pausedAt": _time(facts.paused_at)},
        )
    if not facts.workers:
        message = f'No live worker handles the job type "{facts.type}".'
        return Explanation(Cause.NO_WORKER, message, {"type": facts.type})
    if facts.breaker is not None:
        return _circuit_open(facts, facts.breaker)
    for limit in facts.limits:
        if (limited := _limited(limit)) is not None:
            return limited
    return _in_line(facts)


def _circuit_open(facts: ExplanationFacts, breaker: OpenBreaker) -> Explanation:
    data: dict[str, object] = {"type": facts.type, "errorCode": breaker.code, "probeAt": _time(breaker.probe_at)}
    failing = f'The circuit breaker of "{facts.type}" is open after failures with {breaker.code}'
    if breaker.open:
        return Explanation(
            Cause.CIRCUIT_OPEN, f"{failing}: no job starts before {_time(breaker.probe_at)}, then one as a probe.", data
        )
    return Explanation(Cause.CIRCUIT_OPEN, f"{failing}: one job runs as a probe, the others wait for its end.", data)


def _limited(limit: StartLimit) -> Explanation | None:
    data: dict[str, object] = {"limit": {"of": limit.scope, "name": limit.name}}
    if limit.concurrency is not None and limit.running >= limit.concurrency:
        return Explanation(
            Cause.CONCURRENCY_LIMIT,
            f'Concurrency limit of the {limit.scope} "{limit.name}" reached: {limit.running} of {limit.concurrency} '
            "jobs are running.",
            data | {"running": limit.running, "concurrency": limit.concurrency},
        )
    if limit.rate_count is not None and limit.tokens < 1:
        return Explanation(
            Cause.RATE_LIMIT,
            f'Rate limit of the {limit.scope} "{limit.name}" reached: {limit.rate_count} starts per '
            f"{limit.rate_seconds:g} seconds; the next job may start at {_time(limit.next_start_at)}.",
            data | {"nextStartAt": _time(limit.next_start_at)},
        )
    return None


def _in_line(facts: ExplanationFacts) -> Explanation:
    data: dict[str, object] = {"ahead": facts.ahead, "aheadIsAtLeast": facts.ahead_is_least, "workers": facts.workers}
    workers = f"{_count(facts.workers, 'worker')} for its type"
    if not facts.ahead:
        return Explanation(Cause.NEXT, f'It is next in queue "{facts.queue}"; {workers}.', data)
    least = "at least " if facts.ahead_is_least else ""
    return Explanation(
        Cause.BUSY,
        f'{least.capitalize()}{_count(facts.ahead, "job")} ahead of it in queue "{facts.queue}"; {workers}.',
        data,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _verb(number: int) -> str:
    return "has" if number == 1 else "have"


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
