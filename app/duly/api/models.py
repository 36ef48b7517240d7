"""The answers' models: what the OpenAPI document shows of them."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from duly.domain.events import Status


class PathErrorBody(BaseModel):
    path: str = Field(examples=["parameters.startDate"])
    message: str
    index: int | None = Field(default=None, description="in a batch: the job's place, from 0")


class ErrorDetails(BaseModel):
    reason: str
    retryable: bool
    errors: list[PathErrorBody] | None = None


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

    jobId: str
    status: Literal["pending"]
    createdAt: str = Field(examples=["2026-01-27T10:00:00.000Z"])
    links: Links


class AcceptedBatchBody(BaseModel):
    """All its jobs are durable; each runs as soon as it may. The ids are in the order of the submissions."""

    batchId: str
    jobIds: list[str]
    status: Literal["pending"]
    createdAt: str = Field(examples=["2026-01-27T10:00:00.000Z"])


class JobErrorDetails(BaseModel):
    reason: str
    retryable: bool
    attempt: int | None


class JobErrorBody(BaseModel):
    code: str = Field(examples=["TASK_FAILED"])
    message: str
    details: JobErrorDetails


class JobBody(BaseModel):
    """One job as it stands."""

    jobId: str
    type: str
    queue: str
    priority: int
    status: Status
    sequence: int = Field(description="that of its newest event; also its ETag")
    waitingFor: Literal["worker", "time", "retry"] | None
    progress: float | None = Field(ge=0, le=100)
    progressMessage: str | None
    attempt: int
    maxAttempts: int
    parameters: Any
    result: Any
    error: JobErrorBody | None
    labels: dict[str, str]
    batchId: str | None
    parentId: str | None
    dependsOn: list[str]
    correlationId: str
    createdAt: str
    runAt: str | None
    startedAt: str | None
    completedAt: str | None


class JobPage(BaseModel):
    items: list[JobBody]
    nextCursor: str | None


class EventMetadata(BaseModel):
    correlationId: str
    causationId: str | None
    source: str = Field(examples=["worker:node-1"])
    traceparent: str | None


class EventBody(BaseModel):
    """One thing that happened to a job."""

    eventId: str
    eventType: str = Field(examples=["JobCompleted"])
    eventVersion: Literal["1.0"]
    occurredAt: str
    aggregateId: str
    aggregateType: Literal["Job"]
    sequence: int
    data: dict[str, Any]
    metadata: EventMetadata


class EventPage(BaseModel):
    items: list[EventBody]
    nextCursor: str | None


class JobTypeDefaults(BaseModel):
    timeoutSeconds: float
    maxAttempts: int


class JobTypeBody(BaseModel):
    type: str
    description: str
    parametersSchema: dict[str, Any]
    resultSchema: dict[str, Any]
    defaults: JobTypeDefaults
    isolation: Literal["task", "thread", "process"]


class JobTypePage(BaseModel):
    items: list[JobTypeBody]
    nextCursor: str | None


_MEANINGS = {
    400: "The body is not JSON",
    401: "No API key, or a wrong one",
    404: "No such job, type or address",
    405: "The address does not take this method",
    409: "The state does not allow it",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "The request does not fit the contract",
    503: "Draining, overloaded, or the database is away; try again",
}


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def failures(*statuses: int, also: Responses | None = None) -> Responses:
    """The error answers of a route for the OpenAPI document; a missing key and a fault of ours go without saying."""
    return (also or {}) | {
        status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in (*statuses, 401)
    }
