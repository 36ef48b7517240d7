"""Leases in responses, written as text: half the time of dictionaries with the same members."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import orjson

from duly.api.jobs.steps import step_members
from duly.domain.event_views import read_progress
from duly.domain.ids import idempotency_token
from duly.domain.job import ClaimedJob, LeaseFacts, Mark
from duly.domain.json_numbers import plain_number
from duly.domain.lease_id import Lease, write_lease_id
from duly.domain.sealing import Keyring
from duly.domain.timestamps import rfc3339
from duly.lifecycle.leases.poll_rounds import lease_of
from duly.store.read.steps import StepView
from duly.telemetry.tracing import LeaseTrace, Tracing

_COMPENSATING = ',"compensating":true'


def leases_body(
    jobs: list[ClaimedJob], keyring: Keyring, steps: Mapping[UUID, Sequence[StepView]], tracing: Tracing
) -> bytes:
    """Returns the body of the response to a claim. `steps` are those of jobs that have any."""
    return joined([lease_text(job, keyring, steps.get(job.job_id, ()), tracing) for job in jobs])


def joined(leases: Sequence[str]) -> bytes:
    """Returns the body of the response to a claim of these leases."""
    return f'{{"leases":[{",".join(leases)}]}}'.encode()


def lease_text(job: ClaimedJob, keyring: Keyring, steps: Sequence[StepView], tracing: Tracing) -> str:
    """Returns one lease of the response to a claim."""
    return _lease(job, keyring, steps, tracing.lease(job))


def _lease(claimed: ClaimedJob, keyring: Keyring, steps: Sequence[StepView], trace: LeaseTrace) -> str:
    facts = lease_of(claimed)
    return (
        f'{{"leaseId":"{write_lease_id(Lease.of(claimed, trace=trace.token), keyring)}",'
        f'"leaseExpiresAt":"{rfc3339(facts.expires_at)}",'
        f'"job":{_job(claimed, facts)},'
        f'"attempt":{claimed.attempt},'
        f'"idempotencyToken":"{idempotency_token(claimed.job_id)}",'
        f'"checkpoint":{claimed.checkpoint or "null"},'
        f'"steps":{_steps(steps) if steps else "[]"},'
        f'"traceparent":{_text(trace.traceparent)}}}'
    )


def _steps(steps: Sequence[StepView]) -> str:
    return orjson.dumps([step_members(step) for step in steps]).decode()


def _job(claimed: ClaimedJob, facts: LeaseFacts) -> str:
    """Returns the members of a claimed job, as `job_members` does. Ids, times and names need no escapes."""
    job_id = str(claimed.job_id)
    correlation_id = f'"{job_id}"' if not claimed.correlation_id else _text(claimed.correlation_id)
    return (
        f'{{"jobId":"{job_id}","type":"{claimed.type}","queue":"{claimed.queue}",'
        f'"priority":{claimed.priority},"status":"running","sequence":{claimed.sequence},"waitingFor":null,'
        f'{_progress(facts)},"attempt":{claimed.attempt},"maxAttempts":{claimed.max_attempts},'
        f'"parameters":{claimed.parameters},"result":null,"error":null,"labels":{claimed.labels or "{}"},'
        f'"batchId":{_id(facts.batch_id)},"parentId":{_id(facts.parent_id)},'
        f'"dependsOn":[{",".join(map(_id, facts.depends_on or ()))}],"correlationId":{correlation_id},'
        f'"createdAt":"{rfc3339(facts.created_at)}","runAt":{_time(facts.run_at)},'
        f'"startedAt":"{rfc3339(facts.started_at)}","completedAt":null'
        f"{_COMPENSATING if claimed.marks & Mark.COMPENSATING else ''}}}"
    )


def _progress(facts: LeaseFacts) -> str:
    """Returns the members of the newest progress."""
    if not facts.told:
        return '"progress":null,"progressMessage":null'
    progress, message = read_progress(facts.told)
    return f'"progress":{_text(plain_number(progress))},"progressMessage":{_text(message)}'


def _text(value: str | float | None) -> str:
    return orjson.dumps(value).decode()


def _id(value: UUID | None) -> str:
    return "null" if value is None else f'"{value}"'


def _time(moment: datetime | None) -> str:
    return "null" if moment is None else f'"{rfc3339(moment)}"'
