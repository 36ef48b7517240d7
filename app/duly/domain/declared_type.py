"""Declared job types: what nodes without its handler know about a job type."""

from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from duly.domain.json_writer import canonical
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy

# Owner of the types of Python handlers, which belong to every tenant. Ids of tenants begin with 1.
EVERY_TENANT = 0
MOST_SCHEMA_BYTES = 65_536
MOST_DECLARED_TYPES = 1_000
# Of all types of one tenant, since each process keeps those of the tenants that it serves.
MOST_SCHEMA_BYTES_TOGETHER = 8 * 1024 * 1024


class HandlerFacts(NamedTuple):
    """Way in which the Python handler of a type runs it, for its representation in the API.

    Attributes:
        isolation: `task`, `thread` or `process`.
        batch_size: maximum number of jobs in one call; None: one job per call.
        linger_seconds: time that the first job of a batch waits for more.
        breaker: whether it declares a circuit breaker.
    """

    isolation: str
    batch_size: int | None = None
    linger_seconds: float = 0.0
    breaker: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """Job type as a worker or a client declared it. Schemas are JSON text; times are in seconds.

    Attributes:
        queue: queue of submissions that name none; None: `default`.
        holds: whether a job is held once its attempts are exhausted, unless its submission says otherwise.
        handler: None for a type that was declared over HTTP.
    """

    type: str
    description: str = ""
    parameters_schema: str = "{}"
    result_schema: str = "{}"
    timeout_seconds: float = 3600.0
    max_attempts: int = 5
    retry: RetryPolicy = DEFAULT_RETRY
    queue: str | None = None
    holds: bool = False
    handler: HandlerFacts | None = None

    @property
    def on_exhausted(self) -> Literal["fail", "hold"]:
        """Effect of exhausted attempts, as the API names it."""
        return "hold" if self.holds else "fail"

    @property
    def digest(self) -> bytes:
        """Returns a digest of all members: equal declarations have equal digests."""
        members = {name: getattr(self, name) for name in _MEMBERS}
        retry = {name: getattr(self.retry, name) for name in _RETRY_MEMBERS}
        return sha256(canonical(members | {"retry": retry})).digest()


_MEMBERS = [each.name for each in fields(DeclaredType)]
_RETRY_MEMBERS = [each.name for each in fields(RetryPolicy)]


def retry_members(policy: RetryPolicy) -> dict[str, Any]:
    """Returns a retry policy as the API shows it."""
    return {
        "shape": policy.shape,
        "firstSeconds": policy.first_seconds,
        "capSeconds": policy.cap_seconds,
        "factor": policy.factor,
        "jitter": policy.jitter,
    }


def retry_of(members: dict[str, Any]) -> RetryPolicy:
    """Returns the retry policy of `retry_members`.

    Raises:
        ValueError: a value is out of range; the message names it.
    """
    return RetryPolicy(
        members["shape"], members["firstSeconds"], members["capSeconds"], members["factor"], members["jitter"]
    )
