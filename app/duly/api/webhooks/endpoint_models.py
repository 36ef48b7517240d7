"""Registered endpoints as clients write and read them: what the OpenAPI document shows of them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import IdText, TimeText, absent
from duly.api.queues.flow_control import StartLimits
from duly.domain.egress_policy import LONGEST_URL
from duly.domain.webhook_events import ENDPOINT_BITS
from duly.domain.webhook_filters import UNASKED
from duly.lifecycle.submit.submission_model import LabelName, LabelValue, Name

MOST_EVENTS = 50
MOST_TYPES = 200
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


_EVENTS = f"`*`, or any of {', '.join(ENDPOINT_BITS)}. {' and '.join(UNASKED)} are sent unasked"
_STAR = "Where types or labels are given, `*` leaves batch.completed out, which has neither: name it"
Url = Annotated[
    str, StringConstraints(max_length=LONGEST_URL), Field(examples=["https://client.example.com/webhooks/duly"])
]
Events = Annotated[
    list[str],
    Field(min_length=1, max_length=MOST_EVENTS, description=f"{_EVENTS}. {_STAR}", examples=[["job.completed"]]),
]
Types = Annotated[
    list[Name], Field(max_length=MOST_TYPES, description="jobs of these types alone; none named: of all types")
]
Labels = Annotated[
    dict[LabelName, LabelValue], Field(max_length=64, description="jobs alone that have all of these labels")
]
Description = Annotated[str, StringConstraints(max_length=500)]
Headers = Annotated[
    dict[str, str],
    Field(
        description="sent along with each webhook; at most 20, 8 KiB in all. Their values are not shown again",
        examples=[{"Authorization": "Bearer a-token-of-yours"}],
    ),
]
Signatures = Annotated[
    list[SignatureVersion],
    AfterValidator(_with_v1),
    Field(description="v1: with the secret. v1a: with a key pair too, whose public key anyone may have"),
]
Secret = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Field(description="signs the webhooks: padded base64 after `whsec_`, any other text as it is"),
]


class DeliveryLimits(StartLimits):
    """How many webhooks are under way to one endpoint at once, and how many are sent in a time, over all nodes. Null:
    as many as it takes.
    """


class Webhook(BaseModel):
    """Somebody who is told of what happens to jobs."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Url
    events: Events
    types: Types = Field(default_factory=list)
    labels: Labels = Field(default_factory=dict)
    description: Description | None = None
    secret: Secret | None = Field(default=None, description="made where none is given")
    headers: Headers = Field(default_factory=dict)
    signatures: Signatures = Field(default=["v1"])
    paused: bool = Field(default=False, description="while paused it is sent nothing; what is to be sent waits")
    limits: DeliveryLimits = Field(default_factory=DeliveryLimits)


class WebhookChange(BaseModel):
    """What of a webhook is to be another. What is left out stays; a list or an object is replaced as a whole."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Url = Field(default_factory=absent)
    events: Events = Field(default_factory=absent)
    types: Types = Field(default_factory=absent)
    labels: Labels = Field(default_factory=absent)
    description: Description | None = Field(default_factory=absent)
    headers: Headers = Field(default_factory=absent)
    signatures: Signatures = Field(default_factory=absent)
    paused: bool = Field(default_factory=absent, description="false: what has waited is sent")
    limits: DeliveryLimits = Field(default_factory=absent)
    disabled: bool = Field(
        default_factory=absent, description="true: it is sent nothing more. false: it is again, its failures forgotten"
    )


class SecretRotation(BaseModel):
    """Which secret is to sign from now on."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    secret: Secret | None = Field(default=None, description="made where none is given")


class CircuitBody(BaseModel):
    """How its receiver does. Open: it keeps failing and is left alone, but for a single webhook now and then."""

    state: Literal["closed", "open"]
    failures: int = Field(description="failed tries since the last success")
    failingSince: TimeText | None = Field(description="from then on nothing but failure")
    nextProbeAt: TimeText | None = Field(description="when a single webhook is tried next; null where it is closed")
    lastError: str | None


class WebhookBody(BaseModel):
    """A webhook as it stands."""

    webhookId: IdText
    url: str
    events: list[str]
    types: list[str]
    labels: dict[str, str]
    description: str | None
    headerNames: list[str] | None = Field(description="null where the service lacks the key that it sealed them with")
    signatures: list[SignatureVersion]
    publicKeys: list[str] = Field(description="of v1a: `whpk_`, the newest first", examples=[[]])
    jwksUrl: str | None = Field(description="where the same keys are shown to anyone; null without v1a")
    status: WebhookStatus
    paused: bool
    disabledAt: TimeText | None
    disabledReason: str | None = Field(examples=["GONE: the receiver answered 410"])
    limits: DeliveryLimits
    circuit: CircuitBody
    previousSecretUntil: TimeText | None = Field(description="until then what signed before signs too")
    createdAt: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])
    updatedAt: TimeText


class DisclosedWebhookBody(WebhookBody):
    """A webhook with its secret, which no other answer shows."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class WebhookPage(BaseModel):
    items: list[WebhookBody]
    nextCursor: str | None


class SentTestBody(BaseModel):
    """A `webhook.test` is on its way."""

    deliveryId: IdText
    eventId: IdText = Field(description="the webhook-id it is sent with")


class JwkBody(BaseModel):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    kid: str
    x: str


class JwksBody(BaseModel):
    """The public keys that verify `v1a` (RFC 7517, RFC 8037): one, or two while they are rotated."""

    keys: list[JwkBody]
