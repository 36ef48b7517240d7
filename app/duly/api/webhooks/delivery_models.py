"""Models of deliveries and replays, for requests and for the OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import QUERY_MODEL, IdText, TimeText
from duly.api.contract.response_models import Gathered
from duly.api.jobs.job_filter import MOST_VALUES, Moment
from duly.store.webhooks.delivery_lists import DeliveryStatus

TIME = "2026-01-27T10:00:00.000Z"
# Events of `duly.domain.events`, in a form that type checkers and the OpenAPI document read.
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


class DeliveryBody(BaseModel):
    """Delivery of one event to one receiver: to a webhook, or to the `callbackUrl` of a job."""

    deliveryId: IdText
    webhookId: IdText | None = Field(description="Null for a delivery to the `callbackUrl` of a job.")
    jobId: IdText | None = Field(description="Null if the event is not about a job.")
    eventId: IdText = Field(description="Header `webhook-id`; the same on every attempt.")
    eventType: DeliveredEvent
    sequence: int | None = Field(description="Sequence of the event within its job.")
    url: str | None = Field(description="Current URL of the receiver; null if the receiver was deleted.")
    status: DeliveryStatus
    attemptCount: int = Field(description="Includes the attempt in progress.")
    nextAttemptAt: TimeText | None = Field(
        description="Earliest time of the next attempt; null while an attempt is in progress.", examples=[TIME]
    )
    createdAt: TimeText = Field(examples=[TIME])
    completedAt: TimeText | None = Field(examples=[TIME])
    lastStatusCode: int | None = Field(examples=[503])
    lastError: str | None = Field(examples=["the receiver answered 503"])


class AttemptBody(BaseModel):
    """One attempt of a delivery."""

    attempt: int
    attemptedAt: TimeText = Field(description="Start of the attempt.", examples=[TIME])
    durationMs: int
    statusCode: int | None = Field(description="Null if there was no response.")
    answer: str | None = Field(description="First KiB of the response body.")
    error: str | None


class WholeDeliveryBody(DeliveryBody):
    attempts: list[AttemptBody] = Field(description="All attempts, oldest first.")


class DeliveryPageBody(Gathered):
    items: list[DeliveryBody]
    nextCursor: str | None


class DeliveryQuery(BaseModel):
    """Filter of deliveries. Repeating one matches any of its values."""

    model_config = QUERY_MODEL

    status: list[DeliveryStatus] = Field(default=[], max_length=MOST_VALUES)
    event: list[DeliveredEvent] = Field(default=[], max_length=MOST_VALUES)
    since: Moment | None = Field(default=None, description="Created at this time or later.")
    until: Moment | None = Field(default=None, description="Created before this time.")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class ReplayRequest(BaseModel):
    """Failed deliveries to send again: those created at this time or later."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    since: Moment = Field(examples=[TIME])


class ReplayBody(Gathered):
    """Progress of a replay. `found` is the sum of `delivered`, `failed` and `waiting`."""

    replayId: IdText
    webhookId: IdText
    since: TimeText = Field(examples=[TIME])
    status: ReplayStatus
    found: int
    delivered: int
    failed: int
    waiting: int
    createdAt: TimeText = Field(examples=[TIME])
    collectedAt: TimeText | None = Field(description="Time at which all were found.", examples=[TIME])


class ReplayPageBody(Gathered):
    items: list[ReplayBody]
    nextCursor: str | None
