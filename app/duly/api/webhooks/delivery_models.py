"""Deliveries and replays as clients write and read them: what the OpenAPI document shows of them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import IdText, TimeText
from duly.api.jobs.list_jobs import MOST_VALUES, in_bounds
from duly.lifecycle.submit.submission_model import Time
from duly.store.webhooks.delivery_lists import DeliveryStatus

TIME = "2026-01-27T10:00:00.000Z"
# Those of `duly.domain.events`, in a form that type checkers and the OpenAPI document read.
DeliveredEvent = TypeAliasType(
    "DeliveredEvent",
    Literal[
        "job.started",
        "job.progress",
        "job.retrying",
        "job.completed",
        "job.failed",
        "job.cancelled",
        "batch.completed",
        "webhook.test",
        "endpoint.disabled",
    ],
)
ReplayStatus = TypeAliasType("ReplayStatus", Literal["collecting", "sending", "completed"])
Moment: TypeAlias = Annotated[Time, AfterValidator(in_bounds)]


class DeliveryBody(BaseModel):
    """One message to one receiver: to a webhook, or to a job's own `callbackUrl`."""

    deliveryId: IdText
    webhookId: IdText | None = Field(description="null: it goes to the job's `callbackUrl`")
    jobId: IdText | None = Field(description="null: it tells of no job")
    eventId: IdText = Field(description="the header `webhook-id`, the same on every attempt")
    eventType: DeliveredEvent
    sequence: int | None = Field(description="of the event, within its job")
    url: str | None = Field(description="where it goes now; null: nobody is there any more")
    status: DeliveryStatus
    attemptCount: int = Field(description="counts the one under way too")
    nextAttemptAt: TimeText | None = Field(
        description="not before this time; null while it is being sent", examples=[TIME]
    )
    createdAt: TimeText = Field(examples=[TIME])
    completedAt: TimeText | None = Field(examples=[TIME])
    lastStatusCode: int | None = Field(examples=[503])
    lastError: str | None = Field(examples=["the receiver answered 503"])


class AttemptBody(BaseModel):
    """One try."""

    attempt: int
    attemptedAt: TimeText = Field(description="when it began", examples=[TIME])
    durationMs: int
    statusCode: int | None = Field(description="null: there was no answer")
    answer: str | None = Field(description="the first KiB of the answer's body")
    error: str | None


class WholeDeliveryBody(DeliveryBody):
    attempts: list[AttemptBody] = Field(description="all there were, oldest first")


class DeliveryPageBody(BaseModel):
    items: list[DeliveryBody]
    nextCursor: str | None


class DeliveryQuery(BaseModel):
    """Which deliveries are meant. A filter that is named twice takes either."""

    model_config = ConfigDict(extra="forbid")

    status: list[DeliveryStatus] = Field(default=[], max_length=MOST_VALUES)
    event: list[DeliveredEvent] = Field(default=[], max_length=MOST_VALUES)
    since: Moment | None = Field(default=None, description="made at this time or later")
    until: Moment | None = Field(default=None, description="made before this time")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class ReplayAsked(BaseModel):
    """Which deliveries go again: those that were made since then, and failed."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    since: Moment = Field(examples=[TIME])


class ReplayBody(BaseModel):
    """How far a replay is. `found` is made of those that were `delivered`, `failed` again, or are `waiting`."""

    replayId: IdText
    webhookId: IdText
    since: TimeText = Field(examples=[TIME])
    status: ReplayStatus
    found: int
    delivered: int
    failed: int
    waiting: int
    createdAt: TimeText = Field(examples=[TIME])
    collectedAt: TimeText | None = Field(description="when all were found", examples=[TIME])


class ReplayPageBody(BaseModel):
    items: list[ReplayBody]
    nextCursor: str | None
