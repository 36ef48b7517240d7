"""Models of webhooks, for requests and for the OpenAPI document."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import IdText, TimeText, absent
from duly.api.contract.response_models import Gathered
from duly.api.queues.limit_models import StartLimits
from duly.domain.egress_policy import LONGEST_URL
from duly.domain.endpoint_events_and_headers import ALWAYS_SENT, MOST_HEADERS
from duly.domain.webhook_events import ENDPOINT_BITS
from duly.lifecycle.submit.submission_model import LabelName, LabelValue, Name

MOST_EVENTS = 50
MOST_TYPES = 200
MOST_SIGNATURES = 2
SignatureVersion = TypeAliasType("SignatureVersion", Literal["v1", "v1a"])
WebhookStatus = TypeAliasType("WebhookStatus", Literal["enabled", "paused", "disabled"])
# Those of ENDPOINT_BITS, in a form that type checkers and the OpenAPI document read.
WebhookEvent = TypeAliasType(
    "WebhookEvent",
    Literal[
        "job.started", "job.progress", "job.retrying", "job.completed", "job.failed", "job.cancelled", "batch.completed"
    ],
)


def _with_v1(names: list[SignatureVersion]) -> list[SignatureVersion]:
    if "v1" not in names or len(set(names)) < len(names):
        raise PydanticCustomError("signatures", 'must be ["v1"] or ["v1", "v1a"]')
    return names


_EVENTS = f"`*`, or any of {', '.join(ENDPOINT_BITS)}. {' and '.join(ALWAYS_SENT)} are always sent"
_STAR = "With types or labels, `*` does not include batch.completed, which has neither; list it explicitly."
Url = Annotated[
    str, StringConstraints(max_length=LONGEST_URL), Field(examples=["https://client.example.com/webhooks/duly"])
]
Events = Annotated[
    list[str],
    Field(min_length=1, max_length=MOST_EVENTS, description=f"{_EVENTS}. {_STAR}", examples=[["job.completed"]]),
]
Types = Annotated[list[Name], Field(max_length=MOST_TYPES, description="Job types to report. Default: all.")]
Labels = Annotated[
    dict[LabelName, LabelValue], Field(max_length=64, description="Labels that a job must have, all of them.")
]
Description = Annotated[str, StringConstraints(max_length=500)]
Headers = Annotated[
    dict[str, str],
    Field(
        json_schema_extra={"maxProperties": MOST_HEADERS},  # checked with its own message
        description="Headers sent with each webhook: at most 20, 8 KiB in total. Responses show their names only.",
        examples=[{"Authorization": "Bearer a-token-of-yours"}],
    ),
]
Signatures = Annotated[
    list[SignatureVersion],
    Field(max_length=MOST_SIGNATURES),
    AfterValidator(_with_v1),
    Field(
        description="`v1`: signed with the secret. `v1a`: also signed with a key pair, whose public key is published."
    ),
]
Secret = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Field(description="Signs the webhooks. After `whsec_`, padded base64; any other text is used as it is."),
]


class DeliveryLimits(StartLimits):
    """Webhooks in flight to one endpoint at once, and webhooks sent per time, over all nodes. Null means no limit."""


class Webhook(BaseModel):
    """Receiver of events about jobs."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Url
    events: Events
    types: Types = Field(default_factory=list)
    labels: Labels = Field(default_factory=dict)
    description: Description | None = None
    secret: Secret | None = Field(default=None, description="Generated if omitted.")
    headers: Headers = Field(default_factory=dict)
    signatures: Signatures = Field(default=["v1"])
    paused: bool = Field(default=False, description="A paused webhook receives nothing; its deliveries wait.")
    limits: DeliveryLimits = Field(default_factory=DeliveryLimits)


class WebhookChange(BaseModel):
    """Changes of a webhook. Omitted members stay as they are; a list or an object is replaced as a whole."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Url = Field(default_factory=absent)
    events: Events = Field(default_factory=absent)
    types: Types = Field(default_factory=absent)
    labels: Labels = Field(default_factory=absent)
    description: Description | None = Field(default_factory=absent)
    headers: Headers = Field(default_factory=absent)
    signatures: Signatures = Field(default_factory=absent)
    paused: bool = Field(default_factory=absent, description="`false`: deliveries that have waited are sent.")
    limits: DeliveryLimits = Field(default_factory=absent)
    disabled: bool = Field(
        default_factory=absent,
        description="`true`: it receives nothing more. `false`: enabled again, with its failures reset.",
    )


class SecretRotation(BaseModel):
    """New secret of a webhook."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    secret: Secret | None = Field(default=None, description="Generated if omitted.")


class CircuitBody(BaseModel):
    """Circuit breaker of a receiver. Open: the receiver keeps failing, and only single probes are sent."""

    state: Literal["closed", "open"]
    failures: int = Field(description="Failed attempts since the last success.")
    failingSince: TimeText | None = Field(description="Time of the first of these failures.")
    nextProbeAt: TimeText | None = Field(description="Time of the next probe; null while closed.")
    lastError: str | None


class WebhookBody(BaseModel):
    """Current state of a webhook."""

    webhookId: IdText
    url: str
    events: list[str]
    types: list[str]
    labels: dict[str, str]
    description: str | None
    headerNames: list[str] | None = Field(description="Null if the service lacks the key that they are encrypted with.")
    signatures: list[SignatureVersion]
    publicKeys: list[str] = Field(description="Public keys of `v1a`, as `whpk_…`, newest first.", examples=[[]])
    jwksUrl: str | None = Field(description="Public address of the same keys; null without `v1a`.")
    status: WebhookStatus
    paused: bool
    disabledAt: TimeText | None
    disabledReason: str | None = Field(examples=["GONE: the receiver answered 410"])
    limits: DeliveryLimits
    circuit: CircuitBody
    previousSecretUntil: TimeText | None = Field(description="Until then the previous secret signs as well.")
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])
    updatedAt: TimeText


class WebhookHealthBody(Gathered):
    """State of a webhook's receiver, from its circuit and its newest ended deliveries."""

    webhookId: IdText
    status: WebhookStatus
    circuit: CircuitBody
    pending: int = Field(description="Deliveries that wait or are being sent, counted up to 1,000.")
    recent: int = Field(description="Newest ended deliveries that were counted, at most 200.")
    delivered: int
    failed: int
    successRate: float | None = Field(description="Share of `delivered`; null without any.", examples=[0.985])
    lastDeliveredAt: TimeText | None = Field(description="Last success among these deliveries.")
    lastFailedAt: TimeText | None = Field(description="Last failure among these deliveries.")


class DisclosedWebhookBody(WebhookBody):
    """Webhook with its secret, which no other response contains."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class WebhookPage(BaseModel):
    items: list[WebhookBody]
    nextCursor: str | None


class SentTestBody(BaseModel):
    """Delivery of a `webhook.test`."""

    deliveryId: IdText
    eventId: IdText = Field(description="The `webhook-id` of the request.")


class JwkBody(BaseModel):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    kid: str
    x: str


class JwksBody(BaseModel):
    """Public keys that verify `v1a` (RFC 7517, RFC 8037): one, or two during a rotation."""

    keys: list[JwkBody]
