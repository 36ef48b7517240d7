"""Every error a client of the HTTP API can meet: class = code, status, retryable.

    DulyError
    ├── BadRequest 400            NotJson
    ├── Unauthorized 401
    ├── Forbidden 403
    ├── NotFound 404              (no such route, no such job, no such job type)
    ├── MethodNotAllowed 405
    ├── RequestTimeout 408
    ├── Conflict 409              JobAlreadyEnded · JobExists · NotRetryable · UniqueKeyTaken · IdempotencyInFlight
    │                             ScheduleExists · TooManyEndpoints · EndpointDisabled · EndpointDeleted
    │                             DeliveryInFlight · JobGone · TriedEnough
    ├── BodyTooLarge 413
    ├── UriTooLong 414
    ├── UnsupportedMediaType 415
    ├── Invalid 422               UnknownJobType · IdempotencyKeyReused
    ├── UpgradeRequired 426
    ├── TooMany 429               RateLimited · BacklogFull
    ├── HeadersTooLarge 431
    ├── NotImplementedHere 501
    ├── Unavailable 503           Draining · DatabaseUnavailable (a code for each cause) · Overloaded
    │                             TooManyConnections
    └── InternalError 500

They are raised anywhere and rendered in one place, `duly.api.contract.error_responses`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple


class PathError(NamedTuple):
    """One thing wrong with a body: where (`parameters.startDate`) and what."""

    path: str
    message: str


class DulyError(Exception):
    """An error with a place in the contract.

    Args:
        message: one sentence for a person, safe to show to the client.
        reason: what lies behind it, or what to do; the message again where nothing adds to it.
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
        """The one shape of all errors."""
        details = {"reason": self.reason, "retryable": self.retryable, **self.details}
        return {"code": self.code, "message": self.message, "details": details}


class InternalError(DulyError):
    retryable = True


class BadRequest(DulyError):
    code, status = "BAD_REQUEST", 400


class NotJson(BadRequest):
    code = "NOT_JSON"


class Unauthorized(DulyError):
    code, status = "UNAUTHORIZED", 401


class Forbidden(DulyError):
    code, status = "FORBIDDEN", 403


class NotFound(DulyError):
    code, status = "NOT_FOUND", 404


class MethodNotAllowed(DulyError):
    """`allow` names the methods that the address takes, as in `Allow`."""

    code, status = "METHOD_NOT_ALLOWED", 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message, reason=f"It takes {allow}.")
        self.allow = allow


class RequestTimeout(DulyError):
    """A request that did not arrive in time. The connection is closed after the response."""

    code, status, retryable = "REQUEST_TIMEOUT", 408, True


class Conflict(DulyError):
    code, status = "CONFLICT", 409


class JobAlreadyEnded(Conflict):
    code = "JOB_ALREADY_ENDED"


class JobExists(Conflict):
    code = "JOB_EXISTS"


class ScheduleExists(Conflict):
    code = "SCHEDULE_EXISTS"


class NotRetryable(Conflict):
    """A job that has not failed is not done again."""

    code = "JOB_NOT_FAILED"


class UniqueKeyTaken(Conflict):
    code = "UNIQUE_KEY_TAKEN"


class IdempotencyInFlight(Conflict):
    code, retryable = "IDEMPOTENCY_IN_FLIGHT", True


class TooManyEndpoints(Conflict):
    code = "TOO_MANY_ENDPOINTS"

    @classmethod
    def of(cls, most: int) -> "TooManyEndpoints":
        return cls(
            f"There are {most:,} webhooks, as many as there may be.",
            reason="Nothing was recorded; delete others first.",
        )


class EndpointDisabled(Conflict):
    code = "ENDPOINT_DISABLED"


class EndpointDeleted(Conflict):
    code = "ENDPOINT_DELETED"


class DeliveryInFlight(Conflict):
    code, retryable = "DELIVERY_IN_FLIGHT", True


class JobGone(Conflict):
    code = "JOB_GONE"


class TriedEnough(Conflict):
    """A delivery that has had all the attempts that one may have."""

    code = "TRIED_ENOUGH"


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
        """A refusal that names each place; the first one is the sentence."""
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return cls(
            f"{first.path}: {first.message}{more}" if first.path else f"{first.message}{more}",
            reason="The request does not fit the contract.",
            details={"errors": [error._asdict() for error in errors]},
        )


class UnknownJobType(Invalid):
    code = "UNKNOWN_JOB_TYPE"


class IdempotencyKeyReused(Invalid):
    code = "IDEMPOTENCY_KEY_REUSED"


class UpgradeRequired(DulyError):
    """A WebSocket handshake of a version that is not spoken here."""

    code, status = "UPGRADE_REQUIRED", 426


class TooMany(DulyError):
    """Nothing was recorded. `policy` and `left` are what the headers `RateLimit-Policy` and `RateLimit` say."""

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
            f"More jobs are submitted than the {count:,} in {seconds:g} seconds that are allowed.",
            reason="Nothing was recorded; submit it again after Retry-After.",
            policy=f'"submissions";q={count};w={math.ceil(seconds)}',
            left=f'"submissions";r=0;t={retry_after_seconds}',
            retry_after_seconds=retry_after_seconds,
        )


class BacklogFull(TooMany):
    code = "BACKLOG_FULL"

    @classmethod
    def of(cls, queue: str, *, limit: int, waiting: int, retry_after_seconds: int) -> "BacklogFull":
        left = max(0, limit - waiting)
        return cls(
            f'The queue "{queue}" holds {min(waiting, limit):,} of the {limit:,} waiting jobs that it may.',
            reason="Nothing was recorded; submit it again when some of them have started.",
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
    code = "DRAINING"


class DatabaseUnavailable(Unavailable):
    """The database does not do its part. `code` is that of what is wrong with it, `remedy` what the operator can do."""

    code = "DATABASE_UNAVAILABLE"

    def __init__(self, message: str, *, code: str, reason: str, remedy: str, retry_after_seconds: int) -> None:
        super().__init__(message, reason=reason, retry_after_seconds=retry_after_seconds)
        self.code = code
        self.details["remedy"] = remedy


class Overloaded(Unavailable):
    code = "OVERLOADED"


class TooManyConnections(Unavailable):
    code = "TOO_MANY_CONNECTIONS"

    @classmethod
    def here(cls) -> "TooManyConnections":
        return cls(
            "The service has as many connections as it may.",
            reason="All of them, or all of your address, are in use; keep connections and use them again.",
        )
