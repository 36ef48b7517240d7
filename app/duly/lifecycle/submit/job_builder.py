"""Checks submissions against the settings and job types of a service, and builds jobs from them."""

from datetime import datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from duly.domain.database_clock import DatabaseClock
from duly.domain.egress_policy import EgressPolicy, url_refusal
from duly.domain.ids import SMALLEST, parse_job_id
from duly.domain.job import DEFAULT_QUEUE, Debounce, Flow, NewJob
from duly.domain.job_template import template
from duly.domain.json_writer import dump_text
from duly.domain.sealing import Keyring
from duly.domain.webhook_events import CALLBACK_BITS, DEFAULT_CALLBACK_EVENTS, callback_mask
from duly.domain.webhook_secret import check_secret
from duly.errors import BodyTooLarge, Invalid, PathError
from duly.lifecycle.job_types.known_types import JobType, KnownTypes, check_parameters
from duly.lifecycle.submit.cell_ties import check_ties
from duly.lifecycle.submit.plain_submission import read_plain
from duly.lifecycle.submit.submission_errors import nested_under
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.lifecycle.submit.validate_model import read_model

LONGEST_DEBOUNCE = 10  # times debounceSeconds, if debounceMaxSeconds is not given


class JobBuilder:
    """Builds jobs from submissions under the settings and job types of this service.

    Args:
        types: the job types; those of the submission's tenant must be loaded.
    """

    def __init__(
        self, types: KnownTypes, *, parameters_limit: int, egress: EgressPolicy, keyring: Keyring, clock: DatabaseClock
    ) -> None:
        self._new_id = clock.ids.new
        self.cell = clock.ids.cell
        self._parameters_limit = parameters_limit
        self._types = types
        self._keyring = keyring
        # Submissions repeat a few callback URLs: parsing one each time took a twentieth of a job's whole cost.
        self._url_refusal = lru_cache(maxsize=1024)(partial(url_refusal, egress=egress))

    def then(self, submission: Submission, origin: SubmissionOrigin) -> str:
        """Returns the template of the job that follows a batch. Its type must accept the parameters with `batch` added.

        Raises:
            ParametersInvalid, and the 4xx of `duly.errors`, each path below `then`.
        """
        with nested_under("then"):
            if submission.unique_key is not None:
                message = "is not allowed here: the job that follows a batch is never deduplicated"
                raise Invalid.at([PathError("uniqueKey", message)])
            if not isinstance(submission.parameters, dict):
                raise Invalid.at([PathError("parameters", "must be an object: `batch` is added to it")])
            counts = {"batchId": str(SMALLEST), "completed": 0, "failed": 0, "cancelled": 0}
            extended = submission.model_copy(update={"parameters": submission.parameters | {"batch": counts}})
            self.job(extended, origin)
            return template(self.job(submission, origin, checked=True))

    def job_of_value(self, value: object, origin: SubmissionOrigin) -> NewJob:
        """Returns the job of a submission, given as its JSON value.

        Raises:
            Invalid, ParametersInvalid, and the 4xx of `duly.errors`.
        """
        plain = read_plain(value)
        if plain is None or origin.parent_id is not None or origin.digest is not None:
            return self.job(read_model(Submission, value), origin)
        job_type = self._types.get(origin.tenant_id, plain.type)
        return NewJob(
            origin.tenant_id,
            self._new_id(),
            plain.type,
            plain.queue or job_type.queue or DEFAULT_QUEUE,
            plain.priority,
            self._parameters(job_type, plain.parameters),
            job_type.timeout_seconds,
            job_type.max_attempts,
            correlation_id=origin.correlation_id,
            traceparent=origin.traceparent,
            idempotency=origin.idempotency,
            flow=HELD_ONLY if job_type.holds else None,
        )

    def job(
        self,
        submission: Submission,
        origin: SubmissionOrigin,
        *,
        job_id: UUID | None = None,
        batch_id: UUID | None = None,
        checked: bool = False,
    ) -> NewJob:
        """Returns the job of a submission.

        Args:
            submission: a valid submission.
            origin: what comes from elsewhere than its body.
            job_id: id that the client chose; else a new one.
            batch_id: the batch that the job belongs to.
            checked: True if its parameters were validated against its type before.

        Raises:
            ParametersInvalid, and the 4xx of `duly.errors`.
        """
        job_type = self._types.get(origin.tenant_id, submission.type)
        if not submission.model_fields_set <= _INDEPENDENT:
            _check_together(submission)
        flow = _flow(submission, origin, job_type)
        if origin.parent_id is not None:
            check_ties(flow, origin.tenant_id, self.cell, beside="its parent")
        return NewJob(  # by position: 19 names would take 1.3 of 6 µs
            origin.tenant_id,
            job_id or self._new_id(),
            submission.type,
            _queue(submission, job_type),
            submission.priority,
            self._parameters(job_type, submission.parameters, checked=checked),
            submission.timeout_seconds or job_type.timeout_seconds,
            submission.max_attempts or job_type.max_attempts,
            submission.run_at,
            submission.delay_seconds if submission.debounce_seconds is None else submission.debounce_seconds,
            dump_text(submission.labels) if submission.labels else None,
            submission.callback_url,
            self._sealed(submission.callback_secret, origin.tenant_id),
            self._callback(submission) if submission.callback_url is not None else 0,
            origin.correlation_id,
            origin.traceparent,
            batch_id,
            origin.idempotency,
            flow,
        )

    def _parameters(self, job_type: JobType, value: Any, *, checked: bool = False) -> str:
        """Returns the parameters as JSON text.

        Raises:
            BodyTooLarge, ParametersInvalid: they are too large, or invalid for the type.
        """
        text = self.text_of(value)
        if not checked:
            check_parameters(job_type, value, text)
        return text

    def text_of(self, parameters: Any) -> str:
        """Returns parameters as JSON text, without validating them for a type.

        Raises:
            BodyTooLarge: they are too large.
        """
        text = dump_text(parameters)
        if len(text.encode()) > self._parameters_limit:
            message = f"Parameters too large (limit: {self._parameters_limit:,} bytes)."
            raise BodyTooLarge(message, details={"errors": [{"path": "parameters", "message": message}]})
        return text

    def with_callback(self, job: NewJob, submission: Submission) -> NewJob:
        """Returns the job with the callback of a submission, unless that is invalid."""
        try:
            _check_callback(submission)
            events = self._callback(submission)
        except Invalid:
            return job
        return job._replace(
            callback_url=submission.callback_url,
            callback_secret=self._sealed(submission.callback_secret, job.tenant_id),
            callback_events=events,
        )

    def _sealed(self, secret: str | None, tenant_id: int) -> str | None:
        """Returns a callback secret sealed. The text of a client is always a plain secret, even if it looks sealed."""
        if secret is None:
            return None
        return self._keyring.seal(secret, tenant_id=tenant_id, purpose="callback")

    def _callback(self, submission: Submission) -> int:
        refused = self._url_refusal(submission.callback_url or "")
        if refused:
            raise Invalid.at([PathError("callbackUrl", refused)])
        return callback_mask(submission.callback_events or DEFAULT_CALLBACK_EVENTS)


def _queue(submission: Submission, job_type: JobType) -> str:
    """Returns the queue that the submission names, or else that of its type."""
    named = job_type.queue is None or "queue" in submission.model_fields_set
    return submission.queue if named else job_type.queue or submission.queue


def _flow(submission: Submission, origin: SubmissionOrigin, job_type: JobType) -> Flow | None:
    """Returns what ties the job to others; None for most jobs."""
    holds = job_type.holds if submission.on_exhausted is None else submission.on_exhausted == "hold"
    if not (submission.model_fields_set & _TIES or origin.digest is not None or origin.parent_id is not None or holds):
        return None
    flow = Flow(
        expires_in_seconds=submission.expires_in_seconds,
        unique_key=submission.unique_key,
        debounce=_debounce(submission),
        concurrency_key=submission.concurrency_key,
        depends_on=_depends_on(submission.depends_on),
        despite_failure=submission.on_dependency_failure == "run",
        holds=holds,
        parent_id=origin.parent_id,
        digest=origin.digest,
    )
    return flow if flow._replace(despite_failure=False) != _UNTIED else None  # members may be present and null


_UNTIED, HELD_ONLY = Flow(), Flow(holds=True)
_TIES = {"expires_in_seconds", "unique_key", "concurrency_key", "depends_on"}


def _debounce(submission: Submission) -> Debounce | None:
    if submission.debounce_seconds is None:
        return None
    longest = submission.debounce_max_seconds or LONGEST_DEBOUNCE * submission.debounce_seconds
    return Debounce(submission.debounce_seconds, longest)


def _depends_on(ids: list[str]) -> tuple[UUID, ...]:
    """Returns the ids of the dependencies, each once.

    Raises:
        Invalid: one is not an id.
    """
    parents = [parse_job_id(text) for text in ids]
    errors = [
        PathError(f"dependsOn[{index}]", f"no job has the id {ids[index]}")
        for index, parent in enumerate(parents)
        if parent is None
    ]
    if errors:
        raise Invalid.at(errors)
    return tuple(dict.fromkeys(parent for parent in parents if parent is not None))


# Members that no rule about several members concerns.
_INDEPENDENT = {"type", "parameters", "queue", "priority", "timeout_seconds", "max_attempts", "labels", "on_exhausted"}


def _check_together(submission: Submission) -> None:
    """Checks rules that involve several members."""
    _check_debounce(submission)
    if submission.run_at is not None and submission.delay_seconds is not None:
        raise Invalid.at([PathError("delaySeconds", "cannot be combined with runAt")])
    if submission.run_at is not None and not _within_years(submission.run_at):
        raise Invalid.at([PathError("runAt", "must be between 2000 and 2199")])
    for member, value in (
        ("callbackSecret", submission.callback_secret),
        ("callbackEvents", submission.callback_events),
    ):
        if value is not None and submission.callback_url is None:
            raise Invalid.at([PathError(member, "requires callbackUrl")])
    _check_callback(submission)


def _check_debounce(submission: Submission) -> None:
    """Checks the members about debouncing, which need a unique key and exclude other start times."""
    if submission.debounce_seconds is not None:
        if submission.unique_key is None:
            raise Invalid.at([PathError("debounceSeconds", "requires uniqueKey")])
        for member, value in (("runAt", submission.run_at), ("delaySeconds", submission.delay_seconds)):
            if value is not None:
                raise Invalid.at([PathError(member, "cannot be combined with debounceSeconds")])
    if submission.debounce_max_seconds is not None:
        if submission.debounce_seconds is None:
            raise Invalid.at([PathError("debounceMaxSeconds", "requires debounceSeconds")])
        if submission.debounce_max_seconds < submission.debounce_seconds:
            message = f"must be at least debounceSeconds, {submission.debounce_seconds:g}"
            raise Invalid.at([PathError("debounceMaxSeconds", message)])


def _check_callback(submission: Submission) -> None:
    """Checks the events and the secret of a callback."""
    for index, event in enumerate(submission.callback_events or ()):
        if event not in CALLBACK_BITS:
            raise Invalid.at([PathError(f"callbackEvents[{index}]", f"must be one of {', '.join(CALLBACK_BITS)}")])
    if submission.callback_secret is not None:
        try:
            check_secret(submission.callback_secret)
        except ValueError as error:
            raise Invalid.at([PathError("callbackSecret", str(error))]) from None


def _within_years(moment: datetime) -> bool:
    return 2000 <= moment.year < 2200  # noqa: PLR2004  # range that Postgres and UUIDv7 support
