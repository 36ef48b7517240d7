"""Model of a submission, the same for HTTP requests, schedules, batches and child jobs.

Its members have camelCase names in JSON, as the HTTP contract writes them.
"""

import re
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
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from duly.domain.job import DEFAULT_QUEUE, IdempotencyKey
from duly.domain.names import LONGEST_NAME, NAME_PATTERN, ends_as_address
from duly.domain.webhook_events import DEFAULT_CALLBACK_EVENTS


def _check_suffix(name: str) -> str:
    if ends_as_address(name):
        raise PydanticCustomError("name", "must not end with /limits, /pause or /resume")
    return name


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=LONGEST_NAME), AfterValidator(_check_suffix)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=255)]
LabelName = Annotated[str, StringConstraints(pattern=r"^[^:]+$", max_length=64)]  # filters put a colon after the name
LabelValue = Annotated[str, StringConstraints(max_length=256)]
YEAR = 366 * 86400
LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100
MOST_DEPENDENCIES = 1_000
MOST_SUBMISSION_LABELS = 64
MOST_CALLBACK_EVENTS = 50
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _check_rfc3339(text: object) -> object:
    """Rejects the other forms in which Pydantic reads a time, such as Unix seconds as text."""
    if isinstance(text, datetime) or (isinstance(text, str) and _RFC3339.fullmatch(text)):
        return text
    raise PydanticCustomError("time", "must be an RFC 3339 time, such as 2026-01-27T10:00:00.000Z")


# Members of a submission that a request has in its headers.
IDEMPOTENCY_KEY, CORRELATION_ID = r"[\x21-\x7e]{1,255}", r"[\x21-\x7e]{1,200}"
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_context(text: str | None) -> str | None:
    """Returns the trace context; None for a malformed one, as W3C Trace Context (section 3.2.2.3) requires."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


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
    """A job to submit. Only `type` is required."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [EXAMPLE]},
    )

    type: Name = Field(description="Job type.", examples=["report-generation"])
    parameters: Any = Field(
        default_factory=dict, description="Parameters, as the model of the job type requires.", examples=[{}]
    )
    queue: Name = DEFAULT_QUEUE
    priority: int = Field(
        default=0, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY, description="Higher priorities run first."
    )
    run_at: Time | None = Field(default=None, description="Earliest start; cannot be combined with delaySeconds.")
    delay_seconds: float | None = Field(default=None, ge=0, le=YEAR, allow_inf_nan=False)
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=30 * 86400,
        allow_inf_nan=False,
        description="Timeout for each attempt (default: that of the job type).",
    )
    max_attempts: int | None = Field(default=None, ge=1, le=1000, description="Default: that of the job type.")
    expires_in_seconds: float | None = Field(
        default=None,
        gt=0,
        le=YEAR,
        allow_inf_nan=False,
        description="If the job has not started by then, it fails as EXPIRED.",
    )
    unique_key: Key | None = Field(
        default=None, description="While a job of this type and key is unfinished, a submission returns that job."
    )
    debounce_seconds: float | None = Field(
        default=None,
        gt=0,
        le=YEAR,
        allow_inf_nan=False,
        description="Requires uniqueKey: starts, with the newest parameters, after this time without submissions.",
    )
    debounce_max_seconds: float | None = Field(
        default=None,
        gt=0,
        le=YEAR,
        allow_inf_nan=False,
        description="Longest delay by debouncing (default: 10 times debounceSeconds).",
    )
    concurrency_key: Key | None = Field(
        default=None, description="At most one job with this key runs at a time, in order of submission."
    )
    depends_on: list[str] = Field(
        default_factory=list, max_length=MOST_DEPENDENCIES, description="Ids of jobs that must complete first."
    )
    on_dependency_failure: Literal["fail", "run"] = Field(
        default="fail", description="Effect if one of them fails or is cancelled."
    )
    on_exhausted: Literal["fail", "hold"] | None = Field(
        default=None,
        description="Effect once all attempts are used up: `hold` keeps the job for a retry by hand (default: that of "
        "the job type).",
    )
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=MOST_SUBMISSION_LABELS)
    callback_url: str | None = Field(default=None, description="URL that receives signed webhooks.")
    callback_secret: str | None = Field(
        default=None, min_length=1, max_length=512, description="Secret that signs the webhooks."
    )
    callback_events: list[str] | None = Field(
        default=None, min_length=1, max_length=MOST_CALLBACK_EVENTS, examples=[list(DEFAULT_CALLBACK_EVENTS)]
    )


class SubmissionOrigin(NamedTuple):
    """Properties of a job that do not come from its submission but from a request's headers or path, or its parent."""

    tenant_id: int
    correlation_id: str | None
    traceparent: str | None
    idempotency: IdempotencyKey | None = None
    digest: bytes | None = None
    parent_id: UUID | None = None
