"""Errors of the HTTP API: each class has a code, a status and whether a retry may succeed.

    DulyError
    ├── BadRequest 400            InvalidJson
    ├── Unauthorized 401
    ├── Forbidden 403             ScopeMissing · NotAllowedByKey
    ├── NotFound 404              (no such route, no such job, no such job type)
    ├── MethodNotAllowed 405
    ├── RequestTimeout 408
    ├── Conflict 409              JobAlreadyEnded · JobExists · NotRetryable · UniqueKeyTaken · IdempotencyInFlight
    │                             ScheduleExists · EndpointLimitReached · EndpointDisabled · EndpointDeleted
    │                             DeliveryInFlight · JobDeleted · AttemptsExhausted · ScheduleLimitReached
    │                             KeyLimitReached · KeyNotRotatable · TenantExists · JobTypeHasHandler
    │                             JobTypeInUse · JobTypeLimitReached · WaitingJobsDoNotFit · LeaseLost
    │                             CancelRequested · RestrictionLimitReached · QueueLimitReached · SignalAlreadySent
    │                             StepAlreadyRecorded
    ├── BodyTooLarge 413
    ├── UriTooLong 414
    ├── UnsupportedMediaType 415
    ├── Invalid 422               UnknownJobType · IdempotencyKeyReused
    ├── UpgradeRequired 426
    ├── TooMany 429               RateLimited · BacklogFull
    ├── HeadersTooLarge 431
    ├── NotImplementedHere 501
    ├── Unavailable 503           Draining · DatabaseUnavailable (a code for each cause) · Overloaded
    │                             TooManyConnections · CellAway
    └── InternalError 500

They are raised anywhere and rendered in one module, `duly.api.contract.error_responses`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple


class PathError(NamedTuple):
    """Error at one path of a request body, such as `parameters.startDate`."""

    path: str
    message: str


class DulyError(Exception):
    """Base class of all errors that clients of the HTTP API receive.

    Args:
        message: one sentence for a person, safe to show to the client.
        reason: the cause or the remedy; defaults to the message.
        details: further members of `error.details`.
        retry_after_seconds: sent as `Retry-After` where set.
    """

    code: str = "INTERNAL_ERROR"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        details: Mapping[str, object] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after_seconds = retry_after_seconds

    @property
    def content(self) -> dict[str, Any]:
        """Returns the body that all errors share: `code`, `message` and `details`."""
        details = {"reason": self.reason, "retryable": self.retryable, **self.details}
        return {"code": self.code, "message": self.message, "details": details}


class InternalError(DulyError):
    retryable = True


class BadRequest(DulyError):
    code, status = "BAD_REQUEST", 400


class InvalidJson(BadRequest):
    code = "INVALID_JSON"


class Unauthorized(DulyError):
    code, status = "UNAUTHORIZED", 401


class Forbidden(DulyError):
    code, status = "FORBIDDEN", 403


class ScopeMissing(Forbidden):
    """Request that the scopes of its API key do not allow."""

    code = "SCOPE_MISSING"

    @classmethod
    def of(cls, scope: str) -> "ScopeMissing":
        return cls(
            f'This API key lacks the scope "{scope}".',
            reason=f'Use a key with the scope "{scope}".',
            details={"scope": scope},
        )


class NotAllowedByKey(Forbidden):
    """Claim of job types or queues that the API key is not bound to."""

    @classmethod
    def of(cls, what: str, names: Sequence[str]) -> "NotAllowedByKey":
        return cls(
            f'This API key may not claim jobs of the {what} "{names[0]}".',
            reason=f"Use a key that is bound to every {what} of the request, or to none.",
        )


class NotFound(DulyError):
    code, status = "NOT_FOUND", 404


class MethodNotAllowed(DulyError):
    """Method that the path does not support. `allow` is the value of the `Allow` header."""

    code, status = "METHOD_NOT_ALLOWED", 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message, reason=f"Allowed methods: {allow}.")
        self.allow = allow


class RequestTimeout(DulyError):
    """Request that did not arrive in time. The connection is closed after the response."""

    code, status, retryable = "REQUEST_TIMEOUT", 408, True


class Conflict(DulyError):
    code, status = "CONFLICT", 409


class JobAlreadyEnded(Conflict):
    code = "JOB_ALREADY_ENDED"


class JobExists(Conflict):
    code = "JOB_EXISTS"


class SignalAlreadySent(Conflict):
    """Signal with the name of an earlier one and another body."""

    code = "SIGNAL_ALREADY_SENT"

    @classmethod
    def of(cls, name: str) -> "SignalAlreadySent":
        return cls(
            f'A signal "{name}" with another body was sent to the job before.',
            reason="Nothing was changed: the first signal of a name is kept.",
        )


class ScheduleExists(Conflict):
    code = "SCHEDULE_EXISTS"


class ScheduleLimitReached(Conflict):
    code = "SCHEDULE_LIMIT_REACHED"

    @classmethod
    def of(cls) -> "ScheduleLimitReached":
        return cls("Schedule limit reached.", reason="The schedule was not created. Delete one first.")


class KeyLimitReached(Conflict):
    code = "KEY_LIMIT_REACHED"

    @classmethod
    def of(cls) -> "KeyLimitReached":
        return cls("API key limit reached.", reason="The key was not created. Revoke one first.")


class KeyNotRotatable(Conflict):
    """Rotation of a key that has expired or was rotated before."""

    code = "KEY_NOT_ROTATABLE"


class TenantExists(Conflict):
    code = "TENANT_EXISTS"


class JobTypeHasHandler(Conflict):
    """Declaration of a job type that Python handlers declare."""

    code = "JOB_TYPE_HAS_HANDLER"


class JobTypeInUse(Conflict):
    code = "JOB_TYPE_IN_USE"


class JobTypeLimitReached(Conflict):
    code = "JOB_TYPE_LIMIT_REACHED"


class WaitingJobsDoNotFit(Conflict):
    """Schema that the parameters of waiting jobs do not fit."""

    code = "WAITING_JOBS_DO_NOT_FIT"

    @classmethod
    def of(cls, job_type: str, *, count: int, examined: int) -> "WaitingJobsDoNotFit":
        jobs = "1 waiting job does" if count == 1 else f"{count:,} waiting jobs do"
        return cls(
            f'{jobs} not fit the new schema of job type "{job_type}".',
            reason="Nothing was changed. Wait for these jobs, cancel them, or repeat the request with `?force=true`.",
            details={"jobs": count, "examined": examined},
        )


class StepAlreadyRecorded(Conflict):
    """Step with the name of a recorded one and another result."""

    code = "STEP_ALREADY_RECORDED"

    @classmethod
    def of(cls, name: str) -> "StepAlreadyRecorded":
        return cls(
            f'A step "{name}" with another result is recorded.',
            reason="Nothing was changed: a step is recorded once. Its result is in `steps` of the lease.",
        )


class LeaseLost(Conflict):
    """Request for a lease that has expired, or whose attempt has ended."""

    code = "LEASE_LOST"

    @classmethod
    def of(cls, job_id: object) -> "LeaseLost":
        return cls(
            f"The lease of job {job_id} is lost: it has expired, or the attempt has ended.",
            reason="Nothing was changed. Stop working on the job: another worker may run it.",
        )


class CancelRequested(Conflict):
    """Child jobs of a job that is being cancelled."""

    code = "CANCEL_REQUESTED"

    @classmethod
    def of(cls, job_id: object) -> "CancelRequested":
        return cls(f"Job {job_id} is being cancelled.", reason="Nothing was recorded. Stop working on the job.")


class NotRetryable(Conflict):
    """Retry of a job that has neither failed nor been cancelled, and is not held."""

    code = "JOB_NOT_RETRYABLE"

    @classmethod
    def now(cls) -> "NotRetryable":
        return cls(
            "The job did not fail, was not cancelled, and is not held.", reason="Only such a job is done once more."
        )


class UniqueKeyTaken(Conflict):
    code = "UNIQUE_KEY_TAKEN"


class IdempotencyInFlight(Conflict):
    code, retryable = "IDEMPOTENCY_IN_FLIGHT", True


class EndpointLimitReached(Conflict):
    code = "ENDPOINT_LIMIT_REACHED"

    @classmethod
    def of(cls, most: int) -> "EndpointLimitReached":
        return cls(
            f"Webhook limit reached ({most:,}).",
            reason="The webhook was not created. Delete one first.",
        )


class RestrictionLimitReached(Conflict):
    code = "RESTRICTION_LIMIT_REACHED"

    @classmethod
    def of(cls, most: int) -> "RestrictionLimitReached":
        return cls(
            f"Limit of paused queues and of limits reached ({most:,}).",
            reason="Nothing was changed. Resume a queue or delete a limit first.",
        )


class QueueLimitReached(Conflict):
    """Submission that would open one more queue than the tenant may use."""

    code = "QUEUE_LIMIT_REACHED"

    @classmethod
    def of(cls, queue: str, *, others: int = 0, used: int, most: int) -> "QueueLimitReached":
        would = f"and {others:,} more would be new queues" if others else "would be a new queue"
        return cls(
            f'Queue limit reached: "{queue}" {would} ({used:,} of {most:,} in use).',
            reason="Nothing was recorded. Submit to a queue in use, or wait: a queue is in use until its jobs have "
            "ended, and for one to two hours after the last submission to it.",
        )


class EndpointDisabled(Conflict):
    code = "ENDPOINT_DISABLED"


class EndpointDeleted(Conflict):
    code = "ENDPOINT_DELETED"


class DeliveryInFlight(Conflict):
    code, retryable = "DELIVERY_IN_FLIGHT", True


class JobDeleted(Conflict):
    code = "JOB_DELETED"


class AttemptsExhausted(Conflict):
    """Redelivery of a delivery that has used all its attempts."""

    code = "ATTEMPTS_EXHAUSTED"


class BodyTooLarge(DulyError):
    code, status = "BODY_TOO_LARGE", 413


class UriTooLong(DulyError):
    code, status = "URI_TOO_LONG", 414


class UnsupportedMediaType(DulyError):
    code, status = "UNSUPPORTED_MEDIA_TYPE", 415


class UnsupportedContentCoding(UnsupportedMediaType):
    code = "UNSUPPORTED_CONTENT_ENCODING"


class Invalid(DulyError):
    code, status = "VALIDATION_FAILED", 422

    @classmethod
    def at(cls, errors: Sequence[PathError]) -> "Invalid":
        """Returns an error that lists every path; its message is the first of them."""
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return cls(
            f"{first.path}: {first.message}{more}" if first.path else f"{first.message}{more}",
            reason="The request is invalid; see `errors` for each path.",
            details={"errors": [error._asdict() for error in errors]},
        )


class UnknownJobType(Invalid):
    code = "UNKNOWN_JOB_TYPE"


class StepUnknown(Invalid):
    """Retry from a step that the job has not recorded."""

    code = "STEP_UNKNOWN"

    @classmethod
    def of(cls, name: str, recorded: Sequence[str]) -> "StepUnknown":
        known = f"Recorded: {', '.join(recorded)}." if recorded else "The job has recorded no step."
        message = f'No recorded step is named "{name}".'
        return cls(
            message,
            reason=f"{known} Without fromStep, the first step without a result runs next.",
            details={"steps": list(recorded), "errors": [{"path": "fromStep", "message": f"{message} {known}"}]},
        )


class IdempotencyKeyReused(Invalid):
    code = "IDEMPOTENCY_KEY_REUSED"


class UpgradeRequired(DulyError):
    """WebSocket handshake of an unsupported version."""

    code, status = "UPGRADE_REQUIRED", 426


class TooMany(DulyError):
    """Submission beyond a limit, of which nothing was recorded.

    `policy` and `left` are the values of the headers `RateLimit-Policy` and `RateLimit`.
    """

    code, status, retryable = "TOO_MANY_REQUESTS", 429, True

    def __init__(self, message: str, *, reason: str, policy: str, left: str, retry_after_seconds: int) -> None:
        super().__init__(message, reason=reason, retry_after_seconds=retry_after_seconds)
        self.policy = policy
        self.left = left


class RateLimited(TooMany):
    code = "RATE_LIMITED"

    @classmethod
    def of(cls, count: int, seconds: float, *, retry_after_seconds: int) -> "RateLimited":
        return cls(
            f"Rate limit exceeded: {count:,} jobs per {seconds:g} seconds.",
            reason="Nothing was recorded. Retry after the time in Retry-After.",
            policy=f'"submissions";q={count};w={math.ceil(seconds)}',
            left=f'"submissions";r=0;t={retry_after_seconds}',
            retry_after_seconds=retry_after_seconds,
        )

    @classmethod
    def of_key(cls, count: int, seconds: float, *, retry_after_seconds: int) -> "RateLimited":
        return cls(
            f"Rate limit of this API key exceeded: {count:,} requests per {seconds:g} seconds.",
            reason="Nothing was changed. Retry after the time in Retry-After.",
            policy=f'"key";q={count};w={math.ceil(seconds)}',
            left=f'"key";r=0;t={retry_after_seconds}',
            retry_after_seconds=retry_after_seconds,
        )


class BacklogFull(TooMany):
    code = "BACKLOG_FULL"

    @classmethod
    def of(cls, queue: str, *, limit: int, waiting: int, retry_after_seconds: int) -> "BacklogFull":
        left = max(0, limit - waiting)
        return cls(
            f'Queue "{queue}" is full ({min(waiting, limit):,} of {limit:,} jobs waiting).',
            reason="Nothing was recorded. Retry once some of these jobs have started.",
            policy=f'"backlog";q={limit}',
            left=f'"backlog";r={left};t={retry_after_seconds}',
            retry_after_seconds=retry_after_seconds,
        )


class HeadersTooLarge(DulyError):
    code, status = "HEADERS_TOO_LARGE", 431


class NotImplementedHere(DulyError):
    code, status = "NOT_IMPLEMENTED", 501


class Unavailable(DulyError):
    code, status, retryable = "UNAVAILABLE", 503, True

    def __init__(self, message: str, *, reason: str | None = None, retry_after_seconds: int = 1) -> None:
        super().__init__(message, reason=reason, retry_after_seconds=retry_after_seconds)


class Draining(Unavailable):
    """Node that is shutting down."""

    code = "DRAINING"

    def __init__(self) -> None:
        super().__init__(
            "The service is shutting down.",
            reason="Retry: another node, or this one after its restart, will accept.",
        )


class DatabaseUnavailable(Unavailable):
    """Failure of the database. `code` names its cause, `remedy` its remedy for the operator."""

    code = "DATABASE_UNAVAILABLE"

    def __init__(self, message: str, *, code: str, reason: str, remedy: str, retry_after_seconds: int) -> None:
        super().__init__(message, reason=reason, retry_after_seconds=retry_after_seconds)
        self.code = code
        self.details["remedy"] = remedy


class Overloaded(Unavailable):
    code = "OVERLOADED"


class CellAway(Unavailable):
    """Cell whose database does not serve, and which alone could answer."""

    code = "CELL_AWAY"

    def __init__(self, cell: int, count: int) -> None:
        super().__init__(
            f"Cell {cell} of {count} does not answer.",
            reason=f"The resource is in cell {cell}, whose database does not serve; others do. Retry later.",
            retry_after_seconds=2,
        )
        self.details["cell"] = cell


class TooManyConnections(Unavailable):
    code = "TOO_MANY_CONNECTIONS"

    @classmethod
    def here(cls) -> "TooManyConnections":
        return cls(
            "Connection limit reached.",
            reason="All connections of the service, or all of your address, are in use. Reuse connections.",
        )
