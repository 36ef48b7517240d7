"""Models of API keys."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import TimeText
from duly.api.queues.limit_models import RateLimit
from duly.lifecycle.access.keys import OVERLAP_SECONDS
from duly.lifecycle.submit.submission_model import Name, Time

LONGEST_OVERLAP_SECONDS = 30 * 86_400
MOST_BOUNDS = 200
KeyScope = TypeAliasType(
    "KeyScope",
    Literal["jobs:read", "jobs:payload", "jobs:write", "webhooks", "schedules", "worker", "admin", "operator"],
)
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Bounds = Annotated[list[Name], Field(min_length=1, max_length=MOST_BOUNDS)]


class KeyRequest(BaseModel):
    """API key to create."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: KeyName = Field(description="Purpose or owner of the key.", examples=["dashboard"])
    scopes: list[KeyScope] = Field(min_length=1, max_length=50, examples=[["jobs:read", "jobs:write"]])
    types: Bounds | None = Field(default=None, description="Job types that a worker with this key may run.")
    queues: Bounds | None = Field(default=None, description="Queues from which a worker with this key may claim.")
    expiresAt: Time | None = Field(default=None, description="Time from which the key is refused.")
    rate: RateLimit | None = Field(default=None, description="Requests that the key may make, over all nodes.")


class KeyRotation(BaseModel):
    """Rotation of an API key."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    overlapSeconds: Annotated[
        int,
        Field(ge=0, le=LONGEST_OVERLAP_SECONDS, description="Seconds for which the old key stays valid."),
    ] = OVERLAP_SECONDS


class KeyBody(BaseModel):
    """API key, without its secret."""

    keyId: str = Field(examples=["4Kq0vWc1Zt8LmXbR"])
    name: str
    scopes: list[KeyScope]
    types: list[str] | None
    queues: list[str] | None
    rate: RateLimit | None
    expiresAt: TimeText | None
    validUntil: TimeText | None = Field(description="Time from which the key is refused because it was rotated.")
    createdAt: TimeText
    createdBy: str = Field(description="Key id or `cli:user@host` of its author.", examples=["cli:ada@host-1"])
    lastUsedAt: TimeText | None = Field(description="Time of its last use, to the minute.")


class DisclosedKeyBody(KeyBody):
    """API key with its text, which no other response contains."""

    key: str = Field(description="Send it as `Authorization: Bearer <key>`.", examples=["duly_4Kq0vWc1Zt8LmXbR_…"])


class KeyPage(BaseModel):
    items: list[KeyBody]
    nextCursor: str | None
