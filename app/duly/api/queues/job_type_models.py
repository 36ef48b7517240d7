"""Models of job types, for requests and for the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import DeclaredBy, Gathered
from duly.api.contract.responses import time_or_none
from duly.api.queues.limit_models import StartLimits, limits_body
from duly.domain.declared_type import DeclaredType, HandlerFacts, retry_members
from duly.domain.retry import LONGEST_DELAY_SECONDS
from duly.domain.run_times import RunTimes
from duly.handlers.registry import DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT_SECONDS, MOST_ATTEMPTS
from duly.lifecycle.submit.submission_model import Name
from duly.store.queue.limits import FlowLimits

MOST_TIMEOUT_SECONDS = 30 * 86_400
LONGEST_DESCRIPTION = 10_000

Isolation = TypeAliasType("Isolation", Literal["task", "thread", "process"])
OnExhausted = TypeAliasType("OnExhausted", Literal["fail", "hold"])
RetryShape = TypeAliasType("RetryShape", Literal["fixed", "linear", "exponential"])
Seconds = Annotated[float, Field(ge=0, le=LONGEST_DELAY_SECONDS, allow_inf_nan=False)]


class RetryRequest(BaseModel):
    """Delay after attempt n: `fixed` waits `firstSeconds` each time, `linear` n times that, `exponential`
    `firstSeconds` times `factor` to the power of n - 1; at most `capSeconds`, plus or minus `jitter`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    shape: RetryShape = "exponential"
    firstSeconds: Seconds = 1.0
    capSeconds: Seconds = Field(default=300.0, description="Longest delay, at least `firstSeconds`.")
    factor: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = 2.0
    jitter: Annotated[float, Field(ge=0, le=1)] = Field(default=0.2, description="Random part of the delay.")


class JobTypeDeclaration(BaseModel):
    """Job type to declare. Schemas are JSON Schema 2020-12 with references within the schema only."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    description: str = Field(default="", max_length=LONGEST_DESCRIPTION)
    parametersSchema: dict[str, Any] = Field(
        default_factory=dict,
        description="Submissions of this type are validated by it. Default: anything is valid.",
        examples=[{"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}],
    )
    resultSchema: dict[str, Any] = Field(
        default_factory=dict, description="An attempt whose result does not fit fails with `RESULT_INVALID`."
    )
    timeoutSeconds: Annotated[float, Field(gt=0, le=MOST_TIMEOUT_SECONDS, allow_inf_nan=False)] = Field(
        default=DEFAULT_TIMEOUT_SECONDS, description="Timeout for each attempt."
    )
    maxAttempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)] = DEFAULT_MAX_ATTEMPTS
    retry: RetryRequest = Field(default_factory=RetryRequest)
    queue: Name | None = Field(default=None, description="Queue of submissions that name none; null: `default`.")
    onExhausted: OnExhausted = Field(
        default="fail", description="`hold`: a job whose attempts are used up is held for a retry by hand."
    )


class RetryBody(BaseModel):
    """Delay between attempts."""

    shape: RetryShape
    firstSeconds: float
    capSeconds: float
    factor: float
    jitter: float


class JobTypeDefaults(BaseModel):
    timeoutSeconds: float
    maxAttempts: int
    retry: RetryBody
    queue: str | None = Field(description="Queue of submissions that name none; null: `default`.")
    onExhausted: OnExhausted = Field(description="Effect once the attempts of a job are used up.")


class JobTypeBatch(BaseModel):
    size: int
    lingerSeconds: float


class ObservedTimes(BaseModel):
    """Run times of the newest completed jobs of a type, at most 1,000."""

    count: int
    p50Seconds: float
    p99Seconds: float
    suggestedTimeoutSeconds: int = Field(description="Twice the P99, rounded up to a round figure.")


class JobTypeBreakerBody(BaseModel):
    """Circuit breaker of a job type. Open: its jobs do not start. Half-open: one at a time does."""

    state: Literal["closed", "open", "half-open"]
    failures: int = Field(description="Consecutive failed attempts with the same error code.")
    code: str | None = Field(description="Error code of these attempts; null without any.", examples=["TIMED_OUT"])
    openUntil: TimeText | None = Field(description="Time at which the next job may start; null unless open.")


class JobTypeBody(Gathered):
    type: str
    description: str
    parametersSchema: dict[str, Any]
    resultSchema: dict[str, Any]
    defaults: JobTypeDefaults
    declaredBy: DeclaredBy = Field(description="`handler`: by Python handlers. `client`: by `PUT` on this address.")
    declaredAt: TimeText | None = Field(description="Last change; null if only this process knows the type.")
    isolation: Isolation | None = Field(description="Null unless Python handlers run the type.")
    batch: JobTypeBatch | None
    workers: int = Field(description="Processes that run jobs of this type now, or lease them to workers over HTTP.")
    observed: ObservedTimes | None = Field(description="Null if no job of the type has completed.")
    breaker: JobTypeBreakerBody | None = Field(description="Null if the handler declares none.")
    limits: StartLimits


class JobTypePage(Gathered):
    items: list[JobTypeBody]
    nextCursor: str | None


class ShownType(NamedTuple):
    """Job type to show, with the time at which it was declared."""

    declared: DeclaredType
    declared_at: datetime | None


def job_type_body(
    shown: ShownType,
    *,
    observed: RunTimes | None,
    workers: int,
    breaker: dict[str, object] | None,
    limits: FlowLimits,
) -> dict[str, object]:
    """Returns the members of a job type."""
    declared, handler = shown.declared, shown.declared.handler
    return {
        "type": declared.type,
        "description": declared.description,
        "parametersSchema": orjson.Fragment(declared.parameters_schema),
        "resultSchema": orjson.Fragment(declared.result_schema),
        "defaults": {
            "timeoutSeconds": declared.timeout_seconds,
            "maxAttempts": declared.max_attempts,
            "retry": retry_members(declared.retry),
            "queue": declared.queue,
            "onExhausted": declared.on_exhausted,
        },
        "declaredBy": "handler" if handler is not None else "client",
        "declaredAt": time_or_none(shown.declared_at),
        "isolation": handler.isolation if handler is not None else None,
        "batch": _batch(handler),
        "workers": workers,
        "observed": _observed(observed) if observed is not None else None,
        "breaker": breaker,
        "limits": limits_body(limits),
    }


def _batch(handler: HandlerFacts | None) -> dict[str, object] | None:
    if handler is None or handler.batch_size is None:
        return None
    return {"size": handler.batch_size, "lingerSeconds": handler.linger_seconds}


def _observed(observed: RunTimes) -> dict[str, object]:
    return {
        "count": observed.count,
        "p50Seconds": observed.p50_seconds,
        "p99Seconds": observed.p99_seconds,
        "suggestedTimeoutSeconds": observed.suggested_timeout_seconds,
    }
