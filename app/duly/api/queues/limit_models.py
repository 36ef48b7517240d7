"""Models of rate and concurrency limits."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from duly.store.queue.limits import FlowLimits, Rate

MOST_AT_ONCE = 1_000_000
LONGEST_SECONDS = 31 * 86_400


class RateLimit(BaseModel):
    """`count` starts per `seconds`. A token bucket: unused starts are saved for a burst, at most `count`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    count: int = Field(ge=1, le=MOST_AT_ONCE, examples=[100])
    seconds: Annotated[float, Field(ge=0.01, le=LONGEST_SECONDS, allow_inf_nan=False, examples=[60])]


class StartLimits(BaseModel):
    """Jobs running at once and jobs started per time, over all nodes. Null means no limit."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    concurrency: int | None = Field(default=None, ge=1, le=MOST_AT_ONCE, examples=[10])
    rate: RateLimit | None = None


def rate_of(limit: RateLimit | None) -> Rate | None:
    """Returns a rate as the store has it."""
    return Rate(limit.count, limit.seconds) if limit is not None else None


def limits_of(limits: StartLimits) -> FlowLimits:
    """Returns limits as the store has them."""
    return FlowLimits(limits.concurrency, rate_of(limits.rate))


def rate_body(rate: Rate | None) -> dict[str, object] | None:
    """Returns the members of a rate."""
    return {"count": rate.count, "seconds": rate.seconds} if rate is not None else None


def limits_body(limits: FlowLimits) -> dict[str, object]:
    """Returns the members of limits."""
    return {"concurrency": limits.concurrency, "rate": rate_body(limits.rate)}
