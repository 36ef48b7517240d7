"""Models of responses for the OpenAPI document."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import IdText, TimeText, absent
from duly.domain.events import Status

WaitingFor = TypeAliasType(
    "WaitingFor",
    Literal["worker", "time", "retry", "dependencies", "concurrency", "paused", "timer", "signal", "held"],
)
# Values of `Status` as texts, since tests check responses strictly. In the document both are one type.
DeclaredBy = TypeAliasType("DeclaredBy", Literal["handler", "client"])
JobStatus = TypeAliasType("JobStatus", Literal["pending", "running", "completed", "failed", "cancelled"])


class PathErrorBody(BaseModel):
    path: str = Field(examples=["parameters.startDate"])
    message: str
    index: int = Field(default_factory=absent, description="Index of the job in a batch, from 0.")


class ErrorDetails(BaseModel):
    reason: str
    retryable: bool
    errors: list[PathErrorBody] = Field(default_factory=absent, description="Errors by path; with 422.")
    remedy: str = Field(default_factory=absent, description="Remedy for the operator; with 503.")
    scope: str = Field(default_factory=absent, description="Scope that the API key lacks; with `SCOPE_MISSING`.")
    jobs: int = Field(default_factory=absent, description="Jobs that stand against the change of a job type; with 409.")
    examined: int = Field(default_factory=absent, description="Waiting jobs that were compared with a schema.")


class ErrorContent(BaseModel):
    code: str = Field(examples=["VALIDATION_FAILED"])
    message: str
    details: ErrorDetails


class ErrorBody(BaseModel):
    """Body of every response that is not 2xx or 304."""

    error: ErrorContent


class Links(BaseModel):
    self: str
    events: str
    stream: str
    cancel: str


class AcceptedBody(BaseModel):
    """Accepted job: it is durable, and runs as soon as possible."""

    jobId: IdText
    status: JobStatus = Field(description="`pending`; with `deduplicated`, the status of the existing job.")
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])
    links: Links
    deduplicated: bool = Field(
        default_factory=absent,
        description="`true`: an unfinished job with the same type and `uniqueKey` was returned.",
    )


class AcceptedBatchBody(BaseModel):
    """Accepted batch: all its jobs are durable. The ids are in the order of the submissions."""

    batchId: IdText
    jobIds: list[IdText]
    status: Literal["pending"]
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])


class BatchErrorBody(BaseModel):
    code: str
    message: str | None = Field(description="Null without the scope `jobs:payload`.")
    details: ErrorDetails | None = Field(description="Null without the scope `jobs:payload`.")


class BatchBody(BaseModel):
    """Current state of a batch. It is pending until its first job starts or ends, then running until its last job has
    ended; then failed if any job failed, else cancelled if any was cancelled, else completed.
    """

    batchId: IdText
    name: str | None
    status: JobStatus
    total: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    thenJobId: IdText | None = Field(description="Job that was submitted once all jobs had ended.")
    thenError: BatchErrorBody | None = Field(description="Why that job was refused when it was due.")
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])
    completedAt: TimeText | None = Field(description="Time at which the last job had ended and was counted.")


class Gathered(BaseModel):
    """Sum of what all cells have. An installation with one database is always complete."""

    incomplete: bool = Field(
        default_factory=absent, description="`true`: cells are away, and what they have is missing. Else absent."
    )
    cellsAway: list[int] = Field(default_factory=absent, description="Numbers of the cells that are away.")


class BatchPage(Gathered):
    items: list[BatchBody]
    nextCursor: str | None


class CountBody(BaseModel):
    """Number of jobs that a bulk action would change."""

    count: int = Field(description="Number of matching jobs, at most 10,000.")
    complete: bool = Field(description="False if more jobs match, or may match, than were counted.")


class RetriedBody(BaseModel):
    retried: int = Field(description="Number of jobs that run again.")


class CancelledBody(BaseModel):
    cancelled: int = Field(description="Number of jobs that were cancelled, or whose handler is asked to stop.")


class JobErrorFrame(BaseModel):
    file: str
    line: int
    function: str


class JobErrorDetails(BaseModel):
    reason: str
    retryable: bool = Field(description="True if a retry follows.")
    attempt: int | None
    exception: str = Field(default_factory=absent, description="Type of the exception that the handler raised.")
    frames: list[JobErrorFrame] = Field(
        default_factory=absent, description="Frames of the handler's code, innermost last, at most ten."
    )


class JobErrorBody(BaseModel):
    code: str = Field(examples=["TASK_FAILED"])
    message: str | None = Field(description="Null without the scope `jobs:payload`.")
    details: JobErrorDetails | None = Field(description="Null without the scope `jobs:payload`.")


class JobBody(BaseModel):
    """Current state of a job."""

    jobId: IdText
    type: str
    queue: str
    priority: int
    status: Status
    sequence: int = Field(description="Sequence of its newest event; also its ETag.")
    waitingFor: WaitingFor | None
    progress: float | None = Field(ge=0, le=100)
    progressMessage: str | None
    attempt: int
    maxAttempts: int
    parameters: Any
    result: Any
    error: JobErrorBody | None
    labels: dict[str, str]
    batchId: IdText | None
    parentId: IdText | None
    dependsOn: list[IdText]
    correlationId: str
    createdAt: TimeText
    runAt: TimeText | None
    startedAt: TimeText | None
    completedAt: TimeText | None
    compensating: bool = Field(
        default_factory=absent, description="Present while its completed steps are compensated, before it ends."
    )


class JobPage(Gathered):
    items: list[JobBody]
    nextCursor: str | None


class EventMetadata(BaseModel):
    correlationId: str
    causationId: IdText | None
    source: str = Field(examples=["worker:node-1"])
    traceparent: str | None


class EventBody(BaseModel):
    """Event of a job."""

    eventId: IdText
    eventType: str = Field(examples=["JobCompleted"])
    eventVersion: Literal["1.0"]
    occurredAt: TimeText
    aggregateId: IdText
    aggregateType: Literal["Job"]
    sequence: int
    data: dict[str, Any]
    metadata: EventMetadata


class EventPage(BaseModel):
    items: list[EventBody]
    nextCursor: str | None


class TicketBody(BaseModel):
    ticket: str = Field(description="Opens one stream or socket, as `?ticket=`.", examples=["zXg1Jq…"])
    expiresAt: TimeText = Field(examples=["2026-01-27T10:01:00.000Z"])


_MEANINGS = {
    400: "Malformed request: its `Host`, or a body that is not JSON",
    401: "API key missing or invalid",
    403: "Not allowed for this key or ticket, or the request comes from a page of another site",
    404: "Not found",
    405: "Method not allowed",
    409: "Not allowed in the current state",
    413: "Body too large",
    415: "The content type is not JSON",
    422: "Invalid request",
    429: "Rate limit exceeded, or queue full; nothing was recorded",
    503: "Shutting down, overloaded, or database unavailable (`details.reason`, `details.remedy`); retry later",
}
# Examples: code, message and `retryable`.
_EXAMPLES = {
    400: ("INVALID_JSON", "The body is not JSON.", False),
    401: ("UNAUTHORIZED", "API key required.", False),
    403: ("FORBIDDEN", 'Origin "https://other.example" is not allowed.', False),
    404: ("NOT_FOUND", "Job not found.", False),
    409: ("JOB_ALREADY_ENDED", "Job already ended (completed).", False),
    413: ("BODY_TOO_LARGE", "Body too large (limit: 1,048,576 bytes).", False),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The body must be JSON.", False),
    422: ("VALIDATION_FAILED", "priority: Input should be less than or equal to 100", False),
    429: ("BACKLOG_FULL", 'Queue "default" is full (1,000 of 1,000 jobs waiting).', True),
    503: (
        "DRAINING",
        "The service is shutting down.",
        True,
    ),
}


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def error_responses(*statuses: int, also: Responses | None = None) -> Responses:
    """Returns the error responses of a route, with those that all routes have, for the OpenAPI document."""
    return (also or {}) | {status: error_response(status) for status in sorted({*statuses, 400, 401, 403})}


def error_response(status: int) -> dict[str, Any]:
    """Returns one error response for the OpenAPI document."""
    code, message, retryable = _EXAMPLES[status]
    details: dict[str, object] = {"reason": message, "retryable": retryable}
    if status == 422:  # noqa: PLR2004  # the one with errors by path
        details["errors"] = [{"path": "priority", "message": "Input should be less than or equal to 100"}]
    example = {"error": {"code": code, "message": message, "details": details}}
    # By reference: as a model, each of some 200 would be compiled at every start.
    schema = {"$ref": "#/components/schemas/ErrorBody"}
    return {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": schema, "example": example}},
    }
