"""Model of a submission, the same for HTTP requests, schedules, batches and child jobs.

Its fields have the names of the HTTP contract.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from duly.domain.job import DEFAULT_QUEUE, IdempotencyKey
from duly.domain.names import LONGEST_NAME, NAME_PATTERN, ends_as_address
from duly.domain.webhook_events import DEFAULT_CALLBACK_EVENTS


def _check_suffix(name: str) -> str:
    if ends_as_address(name):
        raise PydanticCustomError("name", "must not end with /limits, /pause or /resume, as addresses below a name do")
    return name


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=LONGEST_NAME), AfterValidator(_check_suffix)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=255)]
LabelName = Annotated[str, StringConstraints(pattern=r"^[^:]+$", max_length=64)]  # filters put a colon after the name
LabelValue = Annotated[str, StringConstraints(max_length=256)]
YEAR = 366 * 86400
MOST_DEPENDENCIES = 1_000
MOST_SUBMISSION_LABELS = 64
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _check_rfc3339(text: object) -> object:
    """Rejects the other forms in which Pydantic reads a time, such as Unix seconds as text."""
    if isinstance(text, datetime) or (isinstance(text, str) and _RFC3339.fullmatch(text)):
        return text
    raise PydanticCustomError("time", "must be a time as RFC 3339 writes it, such as 2026-01-27T10:00:00.000Z")


Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_check_rfc3339)]


EXAMPLE: dict[str, JsonValue] = {
    "type": "report-generation",
    "parameters": {"startDate": "2024-01-01", "endDate": "2024-01-31"},
    "priority": 5,
    "labels": {"customer": "c-42"},
    "concurrencyKey": "customer-c-42",
    "callbackUrl": "https://client.example.com/webhooks/job-completed",
}


class Submission(BaseModel):
    """A job to be done. Only `type` is required."""

    model_config = ConfigDict(
        extra="forbid", strict=True, hide_input_in_errors=True, json_schema_extra={"examples": [EXAMPLE]}
    )

    type: Name = Field(description="the job type", examples=["report-generation"])
    parameters: Any = Field(default_factory=dict, description="what the job type's own model says", examples=[{}])
    queue: Name = DEFAULT_QUEUE
    priority: int = Field(default=0, ge=-100, le=100, description="higher runs first")
    runAt: Time | None = Field(default=None, description="not before this time; excludes delaySeconds")
    delaySeconds: float | None = Field(default=None, ge=0, le=YEAR, allow_inf_nan=False)
    timeoutSeconds: float | None = Field(
        default=None, gt=0, le=30 * 86400, allow_inf_nan=False, description="bounds one attempt; the type's own if none"
    )
    maxAttempts: int | None = Field(default=None, ge=1, le=1000, description="the type's own if none")
    expiresInSeconds: float | None = Field(
        default=None, gt=0, le=YEAR, allow_inf_nan=False, description="not started by then: failed as EXPIRED"
    )
    uniqueKey: Key | None = Field(
        default=None, description="while a job of this type and key is unfinished, submitting returns that job"
    )
    debounceSeconds: float | None = Field(
        default=None,
        gt=0,
        le=YEAR,
        allow_inf_nan=False,
        description="needs uniqueKey: starts when no newer submission has come for so long, with the newest parameters",
    )
    debounceMaxSeconds: float | None = Field(
        default=None, gt=0, le=YEAR, allow_inf_nan=False, description="starts after so long in any case; 10 times that"
    )
    concurrencyKey: Key | None = Field(
        default=None, description="at most one job with this key runs at a time, in the order of submission"
    )
    dependsOn: list[str] = Field(
        default_factory=list, max_length=MOST_DEPENDENCIES, description="ids of jobs that have to complete before"
    )
    onDependencyFailure: Literal["fail", "run"] = Field(
        default="fail", description="what happens where one of them fails or is cancelled"
    )
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=MOST_SUBMISSION_LABELS)
    callbackUrl: str | None = Field(default=None, description="called with a signed webhook")
    callbackSecret: str | None = Field(default=None, min_length=1, max_length=512, description="signs the webhooks")
    callbackEvents: list[str] | None = Field(default=None, min_length=1, examples=[list(DEFAULT_CALLBACK_EVENTS)])


class SubmissionOrigin(NamedTuple):
    """Properties of a job that do not come from its submission but from a request's headers or path, or its parent."""

    correlation_id: str | None
    traceparent: str | None
    idempotency: IdempotencyKey | None = None
    digest: bytes | None = None
    parent_id: UUID | None = None


def with_exact_parameters(submission: Submission, value: Mapping[str, Any]) -> Submission:
    """Returns the submission with its parameters as read from the JSON text: Pydantic rounds numbers to doubles."""
    if "parameters" in value:
        submission.__dict__["parameters"] = value["parameters"]  # normal assignment takes five times as long
    return submission
