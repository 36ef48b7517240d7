"""The answers' models: what the OpenAPI document shows of them."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import IdText, TimeText, absent
from duly.domain.events import Status

WaitingFor = TypeAliasType("WaitingFor", Literal["worker", "time", "retry", "dependencies", "concurrency", "paused"])
# The values of `Status`, as texts: answers are checked strictly in tests. In the document they are one.
JobStatus = TypeAliasType("JobStatus", Literal["pending", "running", "completed", "failed", "cancelled"])
Isolation = TypeAliasType("Isolation", Literal["task", "thread", "process"])


class PathErrorBody(BaseModel):
    path: str = Field(examples=["parameters.startDate"])
    message: str
    index: int = Field(default_factory=absent, description="in a batch: the job's place, from 0")


class ErrorDetails(BaseModel):
    reason: str
    retryable: bool
    errors: list[PathErrorBody] = Field(default_factory=absent, description="of 422: each place that is wrong")
    remedy: str = Field(default_factory=absent, description="of 503: what the operator may do")


class ErrorContent(BaseModel):
    code: str = Field(examples=["VALIDATION_FAILED"])
    message: str
    details: ErrorDetails


class ErrorBody(BaseModel):
    """Every answer that is not 2xx or 304, whatever raised it."""

    error: ErrorContent


class Links(BaseModel):
    self: str
    events: str
    stream: str
    cancel: str


class AcceptedBody(BaseModel):
    """The job is durable; it runs as soon as it may."""

    jobId: IdText
    status: JobStatus = Field(description="pending; where it is deduplicated, as that job stands")
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])
    links: Links
    deduplicated: bool = Field(
        default_factory=absent,
        description="true: an unfinished job with the same type and uniqueKey stands for this submission",
    )


class AcceptedBatchBody(BaseModel):
    """All its jobs are durable; each runs as soon as it may. The ids are in the order of the submissions."""

    batchId: IdText
    jobIds: list[IdText]
    status: Literal["pending"]
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])


class BatchBody(BaseModel):
    """How the jobs of a batch stand. It is pending until the first of them starts or ends, running until the last has
    ended; then failed where one failed, else cancelled where one was cancelled, else completed.
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
    thenJobId: IdText | None = Field(description="the job that was submitted once the last of them had ended")
    thenError: ErrorContent | None = Field(description="why that job was refused when it was due")
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])
    completedAt: TimeText | None = Field(description="when the last of them had ended, and was counted")


class RetriedBody(BaseModel):
    retried: int = Field(description="jobs that run again")


class CancelledBody(BaseModel):
    cancelled: int = Field(description="jobs that ended at once, or whose handler is told")


class JobErrorFrame(BaseModel):
    file: str
    line: int
    function: str


class JobErrorDetails(BaseModel):
    reason: str
    retryable: bool = Field(description="a retry follows")
    attempt: int | None
    exception: str = Field(
        default_factory=absent, description="the type of the handler's exception, where it raised one"
    )
    frames: list[JobErrorFrame] = Field(
        default_factory=absent, description="where it arose in the handler's code, the innermost last; at most ten"
    )


class JobErrorBody(BaseModel):
    code: str = Field(examples=["TASK_FAILED"])
    message: str
    details: JobErrorDetails


class JobBody(BaseModel):
    """One job as it stands."""

    jobId: IdText
    type: str
    queue: str
    priority: int
    status: Status
    sequence: int = Field(description="that of its newest event; also its ETag")
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


class JobPage(BaseModel):
    items: list[JobBody]
    nextCursor: str | None


class EventMetadata(BaseModel):
    correlationId: str
    causationId: IdText | None
    source: str = Field(examples=["worker:node-1"])
    traceparent: str | None


class EventBody(BaseModel):
    """One thing that happened to a job."""

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
    ticket: str = Field(description="opens one stream or socket, as `?ticket=`", examples=["zXg1Jq…"])
    expiresAt: TimeText = Field(examples=["2026-01-27T10:01:00.000Z"])


class JobTypeDefaults(BaseModel):
    timeoutSeconds: float
    maxAttempts: int


class JobTypeBatch(BaseModel):
    size: int
    lingerSeconds: float


class ObservedTimes(BaseModel):
    """How long the newest completed jobs of a type ran, up to 1,000 of them."""

    count: int
    p50Seconds: float
    p99Seconds: float
    suggestedTimeoutSeconds: int = Field(description="twice the P99, rounded up to a figure that people write")


class JobTypeBreaker(BaseModel):
    """The circuit breaker of a type. Open: its jobs are held back. Half-open: one at a time is let through."""

    state: Literal["closed", "open", "half-open"]
    failures: int = Field(description="failed attempts in a row, with one error code")
    openUntil: TimeText | None = Field(description="when the next job is let through; null where it is not open")


class JobTypeBody(BaseModel):
    type: str
    description: str
    parametersSchema: dict[str, Any]
    resultSchema: dict[str, Any]
    defaults: JobTypeDefaults
    isolation: Isolation
    batch: JobTypeBatch | None
    workers: int = Field(description="processes that run jobs of this type now")
    observed: ObservedTimes | None = Field(description="null where none of its jobs has completed")
    breaker: JobTypeBreaker | None = Field(description="null where its handler declares none")


class JobTypePage(BaseModel):
    items: list[JobTypeBody]
    nextCursor: str | None


_MEANINGS = {
    400: "The request is malformed: its `Host`, or a body that is not JSON",
    401: "No API key, or a wrong one",
    403: "The key or ticket does not allow it, or the request comes from a page of another site",
    404: "No such job, type or address",
    405: "The address does not take this method",
    409: "The state does not allow it",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "The request is invalid",
    429: "More than may be submitted in a time, or wait in a queue; nothing was recorded",
    503: "Draining, overloaded, or the database does not serve (`details.reason`, `details.remedy`); try again",
}
# What such an answer looks like: code, message, and whether doing the same again may help.
_EXAMPLES = {
    400: ("INVALID_JSON", "The body is not JSON.", False),
    401: ("UNAUTHORIZED", "This address needs an API key.", False),
    403: ("FORBIDDEN", 'Origin "https://other.example" is not allowed.', False),
    404: ("NOT_FOUND", "There is no such job.", False),
    409: ("JOB_ALREADY_ENDED", "The job has ended already: completed.", False),
    413: ("BODY_TOO_LARGE", "The body is larger than the 1,048,576 bytes that are allowed.", False),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The body must be JSON.", False),
    422: ("VALIDATION_FAILED", "priority: Input should be less than or equal to 100", False),
    429: ("BACKLOG_FULL", 'Queue "default" is full (1,000 of 1,000 jobs waiting).', True),
    503: ("DRAINING", "The service is going down; another node, or this one after its restart, takes jobs.", True),
}


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def failures(*statuses: int, also: Responses | None = None) -> Responses:
    """Returns the error answers of a route for the OpenAPI document, with those that all routes have."""
    return (also or {}) | {status: failure(status) for status in sorted({*statuses, 400, 401, 403})}


def failure(status: int) -> dict[str, Any]:
    """Returns one error answer for the OpenAPI document."""
    code, message, retryable = _EXAMPLES[status]
    details: dict[str, object] = {"reason": message, "retryable": retryable}
    if status == 422:  # noqa: PLR2004  # the one whose details name places
        details["errors"] = [{"path": "priority", "message": "Input should be less than or equal to 100"}]
    example = {"error": {"code": code, "message": message, "details": details}}
    # By reference: as a model, each of some two hundred would be compiled anew whenever a service starts.
    schema = {"$ref": "#/components/schemas/ErrorBody"}
    return {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": schema, "example": example}},
    }
