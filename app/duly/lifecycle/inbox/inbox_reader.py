"""Reads submissions of the inbox: each becomes a job as if it had been sent over HTTP, or a job that has failed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import StringConstraints, ValidationError

from duly.domain.job import IdempotencyKey, NewJob
from duly.domain.json_reader import JsonRefused, read_json
from duly.domain.json_writer import digest_of, dump_text
from duly.domain.outcome import error_json
from duly.errors import DulyError, Invalid, JobExists, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.cell_ties import check_ties
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.submission_errors import path_errors
from duly.lifecycle.submit.submission_model import (
    CORRELATION_ID,
    IDEMPOTENCY_KEY,
    Submission,
    SubmissionOrigin,
    trace_context,
)
from duly.lifecycle.submit.validate_model import read_model
from duly.store.submit.inbox import InboxRow

# Members that a request has in its headers; the function has read the tenant.
HEADERS = ("idempotencyKey", "correlationId", "traceparent", "tenant")
GIVEN_APART = ("type", "parameters")
MOST_ERRORS_SHOWN = 20
UNNAMED = "invalid"
ATTEMPTS, TIMEOUT_SECONDS = 1, 3600.0


class InboxSubmission(Submission):
    """Submission with what a request has in its headers."""

    idempotency_key: Annotated[str, StringConstraints(pattern=f"^{IDEMPOTENCY_KEY}$")] | None = None
    correlation_id: Annotated[str, StringConstraints(pattern=f"^{CORRELATION_ID}$")] | None = None
    traceparent: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """End of a job whose submission is not recorded as it is. `error` is JSON text.

    Attributes:
        cancelled: the job is cancelled rather than failed, and its callback is not called.
        bare: the database refuses its content, so none of it is recorded.
        as_other: another job has its id, so the end is recorded under a new one.
    """

    error: str
    cancelled: bool = False
    bare: bool = False
    as_other: bool = False


class InboxReader:
    """Reads submissions under the settings and job types of this node.

    Args:
        depth: levels that parameters may be nested.
    """

    def __init__(self, builder: JobBuilder, *, depth: int) -> None:
        self._builder = builder
        self._depth = depth

    def read(self, row: InboxRow) -> NewJob | Refusal:
        """Returns the job of a submission. Delays and expiry count from the call of the function.

        Raises:
            DulyError: it cannot be read now.
        """
        try:
            value = self._value(row)
            submission = read_model(InboxSubmission, value)
            job = self._builder.job(submission, _origin(row, submission, value), job_id=row.job_id)
            check_ties(job.flow, row.tenant_id, self._builder.cell, beside="this database")
        except (JsonRefused, ParametersInvalid, DulyError, ValidationError) as error:
            if isinstance(error, DulyError) and error.retryable:
                raise
            return refusal_of(error)
        return _since_call(job, row.age_seconds)

    def _value(self, row: InboxRow) -> dict[str, Any]:
        """Returns the members of a submission as one object.

        Raises:
            JsonRefused: parameters or options have a value that cannot be stored.
            Invalid: a member is given twice.
        """
        options = read_json(row.options.encode(), max_depth=self._depth)
        assert isinstance(options, dict)  # noqa: S101  # the function takes objects only
        if twice := [member for member in GIVEN_APART if member in options]:
            raise Invalid.at([PathError(member, "is an argument of its own, not an option") for member in twice])
        parameters = read_json(row.parameters.encode(), max_depth=self._depth)
        return {"type": row.type, "parameters": parameters, **options}

    def ended(self, row: InboxRow, refusal: Refusal) -> NewJob:
        """Returns the job that ends at once, with those members of its submission that are valid."""
        valid = {} if refusal.bare else self._valid_members(row)
        labels, callback = valid.get("labels"), {name: valid[name] for name in valid if name.startswith("callback")}
        shell = NewJob(
            tenant_id=row.tenant_id,
            job_id=row.job_id,
            type=valid.get("type", UNNAMED),
            queue=valid.get("queue", "default"),
            priority=valid.get("priority", 0),
            parameters="null" if refusal.bare else self._shown_parameters(row),
            timeout_seconds=TIMEOUT_SECONDS,
            max_attempts=ATTEMPTS,
            labels=dump_text(labels) if labels else None,
        )
        if refusal.cancelled or "callbackUrl" not in callback:
            return shell
        return self._builder.with_callback(shell, Submission(type=shell.type, **callback))

    def _shown_parameters(self, row: InboxRow) -> str:
        """Returns the parameters; null if they cannot be stored with a job."""
        try:
            return self._builder.text_of(read_json(row.parameters.encode(), max_depth=self._depth))
        except (JsonRefused, DulyError):
            return "null"

    def _valid_members(self, row: InboxRow) -> dict[str, Any]:
        """Returns the members that would be valid in a submission without the others."""
        try:
            options = read_json(row.options.encode(), max_depth=self._depth)
        except JsonRefused:
            options = {}
        given = {**options, "type": row.type} if isinstance(options, dict) else {}
        return {name: given[name] for name in SHOWN if name in given and _is_valid(name, given[name])}


SHOWN = ("type", "queue", "priority", "labels", "callbackUrl", "callbackSecret", "callbackEvents")


def _is_valid(name: str, value: object) -> bool:
    try:
        Submission.model_validate({"type": UNNAMED, name: value})
    except ValidationError:
        return False
    return True


def _origin(row: InboxRow, submission: InboxSubmission, value: Mapping[str, object]) -> SubmissionOrigin:
    """Returns what a request has in its headers. The digest is that of the same submission over HTTP."""
    idempotency = None
    if submission.idempotency_key is not None:
        body = {name: member for name, member in value.items() if name not in HEADERS}
        idempotency = IdempotencyKey(submission.idempotency_key, digest_of(body))
    return SubmissionOrigin(
        row.tenant_id, submission.correlation_id, trace_context(submission.traceparent), idempotency
    )


def _since_call(job: NewJob, age_seconds: float) -> NewJob:
    """Returns a job whose delay and expiry began at the call of the function."""
    if job.delay_seconds:
        job = job._replace(delay_seconds=max(job.delay_seconds - age_seconds, 0.0))
    if job.flow is not None and job.flow.expires_in_seconds is not None:
        left = max(job.flow.expires_in_seconds - age_seconds, 0.0)
        job = job._replace(flow=job.flow._replace(expires_in_seconds=left))
    return job


def refusal_of(error: Exception, *, bare: bool = False) -> Refusal:
    """Returns the end of a job whose submission is invalid; `bare` if it is the database that refuses it."""
    errors = [f"{path}: {message}" if path else message for path, message in path_errors(error)[:MOST_ERRORS_SHOWN]]
    text = error_json(
        "SUBMISSION_INVALID",
        "The submission is invalid, so the job did not run.",
        reason="; ".join(errors),
        retryable=False,
        attempt=None,
    )
    return Refusal(text, bare=bare)


def id_taken(job_id: object) -> Refusal:
    """Returns the end of a submission whose id another job has, which somebody submitted by PUT."""
    return replace(refusal_of(JobExists(f"Another job has the id {job_id}.")), as_other=True)


def of_other_cell(job_id: object) -> Refusal:
    """Returns the end of a submission whose id is of another cell, in which no request finds it."""
    invalid = Invalid.at([PathError("", f"the id {job_id} is of another cell; run `duly migrate`")])
    return replace(refusal_of(invalid), as_other=True)


def deduplicated(other: object) -> Refusal:
    """Returns the end of a job in whose place another one runs."""
    text = error_json(
        "DEDUPLICATED",
        f"Job {other} runs in place of this one.",
        reason="It has the same unique key or idempotency key, and was submitted before.",
        retryable=False,
        attempt=None,
        place={"jobId": str(other)},
    )
    return Refusal(text, cancelled=True)
